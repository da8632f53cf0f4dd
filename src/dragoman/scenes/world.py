"""The generated world as a corpus folder: pictures or clips, captions, and the feature set `grid`."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from dragoman.arrow import pa, pq
from dragoman.corpus.corpus import CAPTIONS, Corpus
from dragoman.corpus.format import CORPUS
from dragoman.errors import UserError
from dragoman.folders import atomic_path, resume
from dragoman.media.video import pyav
from dragoman.records import Caption
from dragoman.scenes.captioner import CaptionPlan, draw_clip_plan, draw_plan
from dragoman.scenes.draws import Draws
from dragoman.scenes.grammars import caption, languages
from dragoman.scenes.items import (
    MOTION,
    WorldItem,
    clip_items,
    describe_clips,
    describe_pictures,
    items_table,
    picture_items,
    split_of,
    write_clips,
    write_pictures,
)
from dragoman.scenes.scene import Clip

SOURCE = "en"
RECORDED = Path(__file__).parent / "data" / "apertium.jsonl.gz"
"""Translations of the default world's captions, for the engine `recorded`."""
RECORDED_MOTION = RECORDED.with_name("apertium_motion.jsonl.gz")
"""The same of the default world in motion; both are `apertium.jsonl.gz` in their worlds."""


@dataclass(frozen=True, kw_only=True)
class WorldSettings:
    """Settings of a world."""

    items: int = 1200
    """Number of pictures, all of different scenes; or of clips, every second one the reversal of the one
    before."""
    motion: bool = False
    """Clips in which things move, in place of pictures."""
    seed: int = 1
    """Another seed gives another world."""
    captions: int = 3
    """Captions an item and language, each by another captioner."""
    languages: tuple[str, ...] = ()
    """Languages beside English, as in pt,gl,zh; by default all that have a grammar."""
    target_captions: bool = False
    """Caption the training items in the other languages too; without it they cannot be trained on."""

    def __post_init__(self) -> None:
        least = 24 if self.motion else 12
        if self.items < least:
            raise UserError(f"A world needs at least {least} items to have all splits, got {self.items}.")
        if self.motion and self.items % 2:
            raise UserError(
                f"Every clip comes with its reversal, so there is no world of {self.items} clips. "
                f"Ask for {self.items + 1}."
            )
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


def write_world(out: str | Path, config: WorldSettings) -> Corpus:
    """Write the world into `out`, a corpus folder ready for every later stage, and open it.

    Pictures and clips that are there already are kept, so an interrupted call goes on where it stopped; a
    complete world of the same configuration is returned as it is. Raises UserError if `out` holds something
    else, and MissingExtraError where clips cannot be written.
    """
    folder = Path(out)
    if config.motion:
        pyav(MOTION)
    fix = "Give another folder with --out, or delete this one."
    with resume(folder, CORPUS, {"world": _as_json(config)}, fix=fix) as work:
        if work.done is not None:
            return Corpus(folder, work.done)
        items = _items(config)
        captions = [asdict(row) for row in human_captions(config)]
        _write_table(folder / "items.parquet", items_table(items))
        _write_table(folder / "captions.parquet", pa.Table.from_pylist(captions, schema=CAPTIONS))
        if config.motion:
            write_clips(folder, items, config.seed)
            describe_clips(folder, items)
        else:
            write_pictures(folder, items, config.seed)
            describe_pictures(folder, items)
        with atomic_path(folder / RECORDED.name) as temporary:
            shutil.copyfile(RECORDED_MOTION if config.motion else RECORDED, temporary)
        CORPUS.write(folder, inputs={}, seed=config.seed, world=_as_json(config))
    return Corpus.open(folder)


def human_captions(config: WorldSettings) -> list[Caption]:
    """All captions of the world; each depends on seed, item, language and its number alone.

    Caption i of a clip and of its reversal say the same in the same words, but for the event.
    """
    captions = []
    for item in _items(config):
        number, item_id = item.number, item.item_id
        targets = config.targets if config.target_captions or split_of(number) != "train" else ()
        for lang in (SOURCE, *targets):
            for place in range(config.captions):
                draws = Draws(config.seed, "caption", number, lang, place)
                text = caption(lang, _draw_plan(item, draws), draws)
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


def _items(config: WorldSettings) -> list[WorldItem]:
    return (clip_items if config.motion else picture_items)(config.items, config.seed)


def _draw_plan(item: WorldItem, draws: Draws) -> CaptionPlan:
    shown = item.shows
    return draw_clip_plan(shown, draws) if isinstance(shown, Clip) else draw_plan(shown, draws)


def _as_json(config: WorldSettings) -> dict[str, object]:
    noted = asdict(config) | {"languages": list(config.targets)}
    if not config.motion:  # as worlds were noted before there was motion
        del noted["motion"]
    return noted


def _write_table(path: Path, table: pa.Table) -> None:
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
