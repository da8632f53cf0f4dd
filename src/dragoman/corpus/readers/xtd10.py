"""XTD10: 1,000 images of COCO for testing, one caption each in eleven languages; line i belongs to line i."""

from __future__ import annotations

from dragoman.corpus.readers.contract import Needed, Published, Source, Wanted
from dragoman.corpus.readers.formats.listed import AlignedFiles, captions, items

_FILES = {"de": "MIC/test_1kcaptions_de.txt", "fr": "MIC/test_1kcaptions_fr.txt"} | {
    "ja": "STAIR/test_1kcaptions_jp.txt"
}
_IMAGES = "XTD10/test_image_names.txt"

ABOUT = Published(
    title="XTD10",
    where={"": "https://github.com/adobe-research/Cross-lingual-Test-Dataset-XTD10"},
    languages=("en", "de", "es", "fr", "it", "ja", "ko", "pl", "ru", "tr", "zh"),
    items={"test": 1_000},
    defects=(
        "Japanese is called `jp` in the file name; the corpus says `ja`",
        "800 of the images are in the training part of COCO: do not train on COCO, or leave these out",
        "captions that repeat another are counted",
    ),
)


def needed(test: str) -> Needed:
    return {"": (_IMAGES,)} | {lang: (_file(lang),) for lang in ABOUT.languages}


def _file(lang: str) -> str:
    return _FILES.get(lang, f"XTD10/test_1kcaptions_{lang}.txt")


def read(wanted: Wanted) -> Source:
    files = wanted.files
    part = AlignedFiles("test", files[_IMAGES], {lang: [files[_file(lang)]] for lang in wanted.languages})
    return Source(items=items(part), captions=captions(wanted, part))
