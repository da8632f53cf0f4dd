// What a visitor says, as a sound file: recorded by the browser, never kept.

/** Why nobody can be heard: "microphone_refused" or "microphone_missing", a key of the texts. */
export class Unheard extends Error {}

/** Listen through the microphone until `stop()`, which gives the sound as a WAV file, or `cancel()`.
 *
 * `onLevel` is told how loud it is, 0 to 1, some times a second, and `onFull` when `seconds` have been recorded. */
export async function record(seconds, onLevel, onFull) {
  // Made before the person is asked: some browsers let a page make sound, or hear it, only at a click.
  const context = new AudioContext();
  let stream;
  try {
    // Only where the page came over https, or from this computer, is there such a thing.
    if (!navigator.mediaDevices) throw new Unheard("microphone_missing");
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    await context.audioWorklet.addModule(new URL("recorder.js", import.meta.url));
  } catch (error) {
    stream?.getTracks().forEach((track) => track.stop());
    context.close();
    if (error instanceof Unheard) throw error;
    throw new Unheard(error.name === "NotAllowedError" ? "microphone_refused" : "microphone_missing");
  }
  await context.resume();
  const recorder = new AudioWorkletNode(context, "recorder");
  const pieces = [];
  const most = Math.floor(seconds * context.sampleRate);
  let length = 0;
  recorder.port.onmessage = ({ data }) => {
    if (length >= most) return;
    pieces.push(data);
    length += data.length;
    onLevel(loudness(data));
    if (length >= most) onFull();
  };
  context.createMediaStreamSource(stream).connect(recorder);
  // What leads to no loudspeaker is not worked on; the recorder plays silence.
  recorder.connect(context.destination);
  const end = () => {
    recorder.port.onmessage = null;
    stream.getTracks().forEach((track) => track.stop());
    return context.close();
  };
  return {
    cancel: end,
    stop: () => {
      end();
      return new File([wav(pieces, Math.min(length, most), context.sampleRate)], "speech.wav", { type: "audio/wav" });
    },
  };
}

/** 0 for -50 decibels below the full scale and less, 1 for the full scale. */
function loudness(samples) {
  const power = samples.reduce((sum, one) => sum + one * one, 0) / samples.length;
  return Math.max(0, 1 + Math.log10(power + 1e-10) / 5);
}

/** The content of a WAV file of one channel in 16 bits (Multimedia Programming Interface 1.0, August 1991). */
function wav(pieces, length, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
  const text = (at, letters) => [...letters].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // whole numbers
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true); // bytes of a sample
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * length, true);
  let at = 44;
  for (const piece of pieces) {
    for (const sample of piece) {
      if (at >= view.byteLength) break;
      view.setInt16(at, Math.round(Math.max(-1, Math.min(1, sample)) * 32767), true);
      at += 2;
    }
  }
  return view.buffer;
}
