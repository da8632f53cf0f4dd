from __future__ import annotations

import json
from pathlib import Path

from miniatures import Expected, put, put_lines


def write(root: Path) -> Expected:
    expected, videos, sentences = [], [], []
    for number, (part, split) in enumerate([("train", "train"), ("validate", "val"), ("test", "test")]):
        name = f"video{number}"
        videos.append(
            {"video_id": name, "split": part, "category": number, "url": "u", "start time": 1.5, "id": number}
        )
        sentences += [{"caption": f"{k} of {name}", "video_id": name, "sen_id": k} for k in range(2)]
        expected += [(name, split, "en", "human", f"{k} of {name}") for k in range(2)]
    for file, places in (("train_val", [0, 1]), ("test", [2])):
        document = {"info": {}, "videos": [videos[p] for p in places]}
        document["sentences"] = [s for s in sentences if int(s["video_id"][5:]) in places]  # type: ignore[index]
        put(root, {f"{file}_videodatainfo.json": json.dumps(document)})
    put(root, {"MSRVTT_data.json": json.dumps({"info": {}, "videos": videos, "sentences": sentences})})
    put_lines(root, {"MSRVTT_train.9k.csv": ["video_id", "video0"]})
    put_lines(
        root, {"MSRVTT_JSFUSION_test.csv": ["key,vid_key,video_id,sentence", 'ret0,msr1,video1,"a, b"']}
    )
    return Expected(expected)
