// In the thread of the sound: gathers what the microphone hears, and plays nothing.

const SIZE = 2048; // samples that are sent at once: some 20 times a second

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.kept = new Float32Array(SIZE);
    this.count = 0;
  }

  process([channels]) {
    for (const sample of channels[0] ?? []) {
      this.kept[this.count++] = sample;
      if (this.count < SIZE) continue;
      this.port.postMessage(this.kept);
      this.kept = new Float32Array(SIZE);
      this.count = 0;
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
