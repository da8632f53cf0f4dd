from __future__ import annotations

from pathlib import Path

from miniatures import Expected, put_lines


def write(root: Path) -> Expected:
    put_lines(root, {"flickr8ktrain.txt": ["a_1"], "flickr8kval.txt": ["b_2"], "flickr8ktest.txt": ["c_3"]})
    expected = []
    for tag, lang, role in [
        ("enc", "en", "human"),
        ("zhc", "zh", "human"),
        ("zhb", "zh", "mt"),
        ("zhg", "zh", "mt"),
    ]:
        lines = []
        for name, split in [("a_1", "train"), ("b_2", "val"), ("c_3", "test"), ("lost_4", "")]:
            for slot in range(2):
                lines.append(f"{name}.jpg#{tag}#{slot} {tag} {slot} of {name} # 7")
                if split:
                    expected.append((name, split, lang, role, f"{tag} {slot} of {name} # 7"))
        put_lines(root, {f"flickr8k{tag}.caption.txt": lines})
    return Expected(expected)
