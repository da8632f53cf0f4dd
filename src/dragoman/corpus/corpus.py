"""The corpus folder: `items.parquet`, `captions.parquet`, `features/<name>/`, `manifest.json`."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from dragoman.arrow import pa, pc, pq
from dragoman.corpus.captions import Captions, Choice, Translations, fits, join, select
from dragoman.corpus.features import FeatureSet, shown
from dragoman.corpus.format import CORPUS
from dragoman.errors import DamagedError, UserError, out_of_memory, reason
from dragoman.folders import sha256
from dragoman.languages import comparable
from dragoman.records import Split

LACKING = logging.getLogger(f"{__name__}.lacking")
"""Tells of items that `with_vectors` leaves out; silenced by who tells of them in words of its own."""

ITEMS = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("path", pa.string()),
        pa.field("split", pa.string(), nullable=False),
    ]
)
"""Further columns of items are metadata, kept for filters, but for `TEXT_KEYS` of texts."""
TEXT_KEYS = ("text", "lang")
"""Columns that hold what an item of the kind `text` is, and its language."""

CAPTIONS = pa.schema(
    [
        pa.field("caption_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("source_id", pa.string()),
        pa.field("engine", pa.string()),
        pa.field("trust", pa.float32()),
    ]
)
FOUND_IN = pa.field("found_in", pa.string())
"""Column beside them in a corpus of a folder of media: where a caption stood, as `media.folder.ORIGINS`,
or that it is a correction."""
CORRECTS = pa.field("corrects", pa.string())
"""Column beside them in a corpus with corrections: the machine's text that a caption replaces."""


class Corpus:
    """A corpus on disk, read lazily. Tables are PyArrow; writers replace whole files atomically."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.without_vectors: dict[str, list[str]] = {}
        """By split the items that `with_vectors` left out."""

    @classmethod
    def open(cls, folder: str | Path) -> Corpus:
        """Open a corpus folder. Raises UserError if it is missing, damaged or of a newer format."""
        path = Path(folder)
        return cls(path, CORPUS.read(path))

    @cached_property
    def items(self) -> pa.Table:
        """`item_id, kind, path, split`, then metadata columns and `TEXT_KEYS`; one row an item, in corpus
        order."""
        return self._table("items.parquet")

    @cached_property
    def captions(self) -> pa.Table:
        """The columns of `CAPTIONS`, perhaps `FOUND_IN` and `CORRECTS`; one row a caption."""
        return _canonical(self._table("captions.parquet"))

    def require_current(self) -> None:
        """Raise UserError where the corpus was built anew since it was opened: two states are never mixed."""
        if self.manifest and CORPUS.peek(self.folder).get("inputs") != self.manifest.get("inputs"):
            raise UserError(
                f"{self.folder} was updated by another process while it was read. Run the same command again."
            )

    def _table(self, name: str) -> pa.Table:
        try:
            table = pq.read_table(self.folder / name)
        except (pa.ArrowException, OSError, ValueError) as error:
            if out_of_memory(error):
                raise
            # Only where no checksum told it on opening: in folders of before there were any.
            said = f"{self.folder / name} is missing or damaged ({reason(error)})."
            raise DamagedError(f"{said} {CORPUS.mend(self.folder)}") from None
        self.require_current()
        return table

    def split(self, name: str) -> pa.Table:
        """Return the items of a split, in corpus order."""
        return self.items.filter(fits(self.items["split"], name))

    def select(
        self, *, role: Choice = None, lang: Choice = None, split: Choice = None, engine: Choice = None
    ) -> Captions:
        """Return the captions that fit every choice, in corpus order; none of them is no error."""
        table = select(self.captions, self.items, role=role, lang=lang, split=split, engine=engine)
        return Captions(folder=self.folder, table=table, split=split)

    def part(self, mask: pa.Array | pa.ChunkedArray) -> Corpus:
        """Return the items for which `mask`, one boolean an item, is true, and their captions.

        For reading: the folder and its hashes are those of the whole corpus.
        """
        found = Corpus(self.folder, self.manifest)
        found.items = self.items.filter(mask)
        about = pc.is_in(self.captions["item_id"], value_set=found.items["item_id"].combine_chunks())
        found.captions = self.captions.filter(about)
        found.without_vectors = self.without_vectors
        return found

    @property
    def texts(self) -> dict[str, tuple[str, str]]:
        """Text and language of each item that is a text, by its id, in corpus order."""
        items = self.items.filter(fits(self.items["kind"], "text"))
        if not len(items):
            return {}
        said = zip(*(items[name].to_pylist() for name in TEXT_KEYS), strict=True)
        return dict(zip(items["item_id"].to_pylist(), said, strict=True))

    def is_of_texts(self, split: str) -> bool:
        """Tell if all items of a split are texts."""
        return set(self.split(split)["kind"].to_pylist()) == {"text"}

    def with_vectors(self, features: FeatureSet, *splits: str) -> Corpus:
        """Return the corpus without those items of some splits that have no vector in a feature set.

        Their captions are left out with them, one warning tells how many they are, and `without_vectors`
        names them; of texts among pictures nobody is told. Raises UserError where they are more than half of
        a split: it is hardly the right set.
        """
        if features.of_texts:
            raise UserError(
                f"{features.folder} holds vectors of texts, not of pictures. Name another feature set, or "
                f"make one: dragoman features {self.folder} --encoder TOWER"
            )
        texts = [
            pc.and_(pc.equal(self.items["kind"], "text"), fits(self.items["split"], split))
            for split in splits
            if not self.is_of_texts(split)
        ]
        if texts:
            # A set of pictures has no vectors of texts beside them.
            known = pc.is_in(self.items["item_id"], value_set=pa.array(features.ids, pa.string()))
            beside = pc.and_(functools.reduce(pc.or_, texts), pc.invert(known))
            if pc.any(beside).as_py():
                return self.part(pc.invert(beside)).with_vectors(features, *splits)
        lacking: dict[str, list[str]] = {}
        counts, too_many = [], False
        for split in splits:
            ids = self.split(split)["item_id"].to_pylist()
            if some := features.lacking(ids):
                lacking[split] = some
                counts.append(f"{len(some)} of {len(ids)} items in {split}")
                too_many |= 2 * len(some) > len(ids)
        if not lacking:
            return self
        items = [item_id for some in lacking.values() for item_id in some]
        said = f"{features.folder} has no vector for {', '.join(counts)}: {shown(items)}."
        if too_many:
            raise UserError(
                f"{said} More than half of a split cannot be left out. Name another feature set, or give "
                f"them vectors: {features.make_again}"
            )
        again = f"Give them vectors: {features.make_again}"
        LACKING.warning("%s They are left out with their captions. %s", said, again)
        found = self.part(pc.invert(pc.is_in(self.items["item_id"], pa.array(items, pa.string()))))
        before = self.without_vectors
        found.without_vectors = before | {split: before.get(split, []) + lacking[split] for split in lacking}
        return found

    def translations(
        self,
        *,
        source: str,
        target: str,
        split: Split,
        engine: str | None = None,
        back: bool | str = True,
        incomplete: Literal["error", "drop"] = "error",
    ) -> Translations:
        """Join human `source` captions of a split with their translations into `target` and the ways back.

        `engine` may stay None if one engine did the work. `back` is the engine of the ways back, True if
        there is only one, False if they are not wanted. A source caption without exactly one translation by
        the engine is an error, or with `incomplete="drop"` left out and counted; so is a translation with
        several ways back. One without any has back text None.

        Raises UserError for an unknown engine, for several engines if none was chosen, and if there is no
        translation at all.
        """
        if incomplete not in ("error", "drop"):
            raise UserError(f"incomplete must be 'error' or 'drop', got {incomplete!r}.")
        humans, mt = self._translated(source, target, split)
        humans.require(f"human {source} captions")
        if not len(mt):
            raise UserError(
                f"{self.folder} has no {target} translation of its human {source} captions in split "
                f"{split!r}. Translate them: dragoman translate {self.folder} --to {target} --engine ENGINE"
            )
        mt = mt.by_engine(engine, f"translations from {source} into {target}", "engine")
        backs = self.select(role="back", lang=source).written_from(mt) if back else None
        if backs is not None and len(backs):
            named = back if isinstance(back, str) else None
            backs = backs.by_engine(named, f"back-translations from {target}", "back")
        else:
            backs = None
        found, faulty = join(humans, mt, backs)
        if faulty and incomplete == "error":
            shown = ", ".join(faulty[:3]) + (", …" if len(faulty) > 3 else "")
            raise UserError(
                f"{len(faulty)} of {len(humans)} source captions have no translation into {target} by "
                f"{found.engine!r}, or several, or several ways back: {shown}. Finish the translation "
                f"(dragoman translate {self.folder} --to {target}), or leave these captions out with "
                "incomplete='drop'."
            )
        return found

    def engines(self, *, source: str, target: str, split: Split) -> list[str]:
        """Return the engines that translated human `source` captions of a split into `target`, sorted."""
        return self._translated(source, target, split)[1].engines

    def _translated(self, source: str, target: str, split: str) -> tuple[Captions, Captions]:
        humans = self.select(role="human", lang=source, split=split)
        return humans, self.select(role="mt", lang=target).written_from(humans)

    def replace_captions(self, captions: pa.Table, **details: Any) -> None:
        """Replace the captions atomically and note `details` in the manifest. Hold `sole_writer` for it."""

        def fill(temporary: Path) -> None:
            pq.write_table(captions, temporary, compression="zstd")

        self.manifest = CORPUS.replace(self.folder, "captions.parquet", fill, **details)
        # The cached property holds the captions of before.
        self.__dict__.pop("captions", None)

    def media_path(self, path: str) -> str:
        """Return where an item's file is: relative paths begin at the corpus folder, URIs pass through."""
        if "://" in path:
            return path
        return str(self.folder / path)

    @property
    def feature_names(self) -> list[str]:
        """Names of the complete feature sets."""
        return sorted(manifest.parent.name for manifest in self.folder.glob("features/*/manifest.json"))

    def features(self, name: str) -> FeatureSet:
        """Open the feature set `name`. Raises UserError that lists the known ones."""
        if name not in self.feature_names:
            known = ", ".join(self.feature_names) or "none"
            raise UserError(
                f"{self.folder} has no feature set {name!r} (known: {known}). "
                f"Make one: dragoman features {self.folder} --encoder FOLDER --name {name}"
            )
        return FeatureSet.open(self.folder / "features" / name)

    def features_of(self, tower: Mapping[str, Any] | None) -> str | None:
        """Find the feature set that a vision tower made, by its `fingerprint`: the name, or None."""
        # One sentence encoder may have read the captions, and items that are texts.
        wanted = [(tower or {}).get(one) for one in ("fingerprint", "of")]
        for name in self.feature_names:
            made_by = FeatureSet.open(self.folder / "features" / name).manifest.get("encoder")
            told = made_by if isinstance(made_by, dict) else {}
            if tower and [told.get(one) for one in ("fingerprint", "of")] == wanted:
                return name
        return None

    def fingerprint(self) -> dict[str, str]:
        """Return the content hashes of both tables, for the manifests of what is made from them."""
        return {name: sha256(self.folder / name) for name in ("items.parquet", "captions.parquet")}


def _canonical(captions: pa.Table) -> pa.Table:
    """Spell the languages of captions canonically; the table itself where they are, as in all written now."""
    canonical = {tag: comparable(tag) for tag in captions["lang"].unique().to_pylist()}
    if all(tag == stored for stored, tag in canonical.items()):
        return captions
    lang = pa.array([canonical[tag] for tag in captions["lang"].to_pylist()], captions["lang"].type)
    return captions.set_column(captions.schema.get_field_index("lang"), "lang", lang)
