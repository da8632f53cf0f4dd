"""The generated world as a corpus folder: pictures, captions, and the feature set `grid`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from dragoman.corpus.features import write_features
from dragoman.corpus.store import CAPTIONS, ITEMS, Corpus, write_corpus_manifest
from dragoman.errors import UserError
from dragoman.folders import MANIFEST, atomic_path, sha256, sole_writer
from dragoman.progress import bar
from dragoman.records import Caption, Split
from dragoman.scenes.draws import Draws
from dragoman.scenes.grammars import caption, languages
from dragoman.scenes.plan import draw_plan
from dragoman.scenes.render import render
from dragoman.scenes.scene import Group, Scene, distinct_scenes
from dragoman.scenes.vision import NAME, describe

SOURCE = "en"
RECORDED = Path(__file__).parent / "data" / "apertium.jsonl.gz"
"""Translations of the default world's captions, for the engine `recorded`."""
SPLIT_CYCLE: tuple[Split, ...] = (
    *("train", "test", "train", "train", "val", "train", "train", "test", "train", "train", "test", "train"),
)
"""Two thirds for training, a quarter for the test. Scene i takes entry i modulo 12."""


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """What to generate."""

    items: int = 1200
    """Pictures, all of different scenes."""
    seed: int = 1
    captions: int = 3
    """Captions an item and language, each by another captioner."""
    languages: tuple[str, ...] = ()
    """Beside English; empty for all that have a grammar."""
    target_captions: bool = False
    """Caption the training pictures in the other languages too; without it nobody can train on them."""

    def __post_init__(self) -> None:
        if self.items < 12:
            raise UserError(f"A world needs at least 12 items to have all splits, got {self.items}.")
        if self.captions < 1:
            raise UserError(f"Every item needs at least 1 caption, got {self.captions}.")
        unknown = sorted(set(self.languages) - set(languages()))
        if unknown:
            raise UserError(
                f"No caption grammar for {', '.join(unknown)}. Known: {', '.join(languages())}. "
                "To add one, create dragoman/scenes/grammars/<language>.py"
            )

    @property
    def targets(self) -> tuple[str, ...]:
        """The languages beside English."""
        return tuple(lang for lang in self.languages or languages() if lang != SOURCE)


def write_world(out: str | Path, config: WorldConfig) -> Corpus:
    """Write the world into `out`, a corpus folder ready for every later stage, and open it.

    Pictures that are there already are kept, so an interrupted call goes on where it stopped; a complete
    world of the same configuration is returned as it is. Raises UserError if `out` holds something else.
    """
    folder = Path(out)
    with sole_writer(folder):
        if (folder / MANIFEST).exists():
            return _reopen(folder, config)
        scenes = distinct_scenes(config.items, config.seed)
        item_ids = [_item_id(number) for number in range(len(scenes))]
        captions = [asdict(row) for row in human_captions(config)]
        _write_table(folder / "items.parquet", _items(item_ids, scenes))
        _write_table(folder / "captions.parquet", pa.Table.from_pylist(captions, schema=CAPTIONS))
        _write_pictures(folder, item_ids, scenes, config.seed)
        _write_descriptors(folder, item_ids)
        with atomic_path(folder / RECORDED.name) as temporary:
            shutil.copyfile(RECORDED, temporary)
        write_corpus_manifest(folder, inputs={}, seed=config.seed, world=_as_json(config))
    return Corpus.open(folder)


def human_captions(config: WorldConfig) -> list[Caption]:
    """All captions of the world; each depends on seed, picture, language and its number alone."""
    captions = []
    for number, scene in enumerate(distinct_scenes(config.items, config.seed)):
        targets = config.targets if config.target_captions or split_of(number) != "train" else ()
        for lang in (SOURCE, *targets):
            for place in range(config.captions):
                draws = Draws(config.seed, "caption", number, lang, place)
                text = caption(lang, draw_plan(scene, draws), draws)
                item_id = _item_id(number)
                captions.append(
                    Caption(
                        caption_id=f"{item_id}-{lang}-{place}",
                        item_id=item_id,
                        lang=lang,
                        role="human",
                        text=text,
                    )
                )
    return captions


def split_of(number: int) -> Split:
    """The split of scene `number`."""
    return SPLIT_CYCLE[number % len(SPLIT_CYCLE)]


def _reopen(folder: Path, config: WorldConfig) -> Corpus:
    corpus = Corpus.open(folder)
    if corpus.manifest.get("world") != _as_json(config):
        raise UserError(
            f"{folder} holds another world or corpus ({corpus.manifest.get('world')}). "
            "Give another folder with --out, or delete this one."
        )
    return corpus


def _as_json(config: WorldConfig) -> dict[str, object]:
    return asdict(config) | {"languages": list(config.targets)}


def _items(item_ids: Sequence[str], scenes: Sequence[Scene]) -> pa.Table:
    rows = [
        {"item_id": item_id, "kind": "image", "path": _picture(item_id), "split": split_of(number)}
        | _metadata(scene)
        for number, (item_id, scene) in enumerate(zip(item_ids, scenes, strict=True))
    ]
    facts = [pa.field(name, pa.int8() if "count" in name else pa.string()) for name in _metadata(scenes[0])]
    return pa.Table.from_pylist(rows, schema=pa.schema([*ITEMS, *facts]))


def _metadata(scene: Scene) -> dict[str, object]:
    facts: dict[str, object] = {"ground": scene.ground, "place": scene.place}
    facts |= _group_facts(scene.first, "")
    facts["relation"] = scene.relation
    return facts | _group_facts(scene.second, "_2")


def _group_facts(group: Group | None, suffix: str) -> dict[str, object]:
    return {
        f"object{suffix}": group and group.kind,
        f"colour{suffix}": group and group.colour,
        f"size{suffix}": group and group.size,
        f"count{suffix}": group and group.count,
    }


def _write_table(path: Path, table: pa.Table) -> None:
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _write_pictures(folder: Path, item_ids: Sequence[str], scenes: Sequence[Scene], seed: int) -> None:
    with bar(len(scenes), "pictures", "pictures") as progress:
        for number, (item_id, scene) in enumerate(zip(item_ids, scenes, strict=True)):
            path = folder / _picture(item_id)
            if not path.exists():
                with atomic_path(path) as temporary:
                    render(scene, Draws(seed, "picture", number)).save(temporary, "PNG", compress_level=3)
            progress.update(1)


def _write_descriptors(folder: Path, item_ids: Sequence[str]) -> None:
    vectors = []
    with bar(len(item_ids), "features", "pictures") as progress:
        for item_id in item_ids:
            with Image.open(folder / _picture(item_id)) as picture:
                vectors.append(describe(picture).astype(np.float16))
            progress.update(1)
    inputs = {"items.parquet": sha256(folder / "items.parquet")}
    write_features(folder / "features" / NAME, item_ids, np.stack(vectors), inputs=inputs, encoder=NAME)


def _item_id(number: int) -> str:
    return f"s{number:05d}"


def _picture(item_id: str) -> str:
    return f"media/{item_id}.png"
