"""The job that fills an index and keeps it up to date. It can be killed at any time.

What was embedded is stored every few seconds, in one transaction each; the next run looks at what is there
and goes on. The manifest is replaced last. Memory: the model, one batch, per worker one decoded image, the
ids of all items with their tables of metadata, and the plan of those that are new or changed.

The way of a photo: `folder_items` finds it, `plan` compares it with the index, `reading` opens it, `update`
encodes and stores it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from dragoman.blocks import HERE, Cluster, gathered
from dragoman.corpus.format import CORPUS
from dragoman.errors import MissingExtraError, UserError
from dragoman.folders import MANIFEST, read_sealed, remove_torn, sole_writer, write_text
from dragoman.index.corrections import (
    CorrectedItems,
    corrections_of,
    keep_corpus_corrections,
    strangers_of,
)
from dragoman.index.entries import PAGE, TEXTS, State, walk
from dragoman.index.folder import (
    IndexInfo,
    calibration_name,
    complete_settings,
    generation_name,
    open_generation,
    read_info,
    remove_leftovers,
    write_info,
)
from dragoman.index.folder_items import FolderItems
from dragoman.index.items import Items, Rejected
from dragoman.index.plan import make_plan
from dragoman.index.reading import ItemReader, PictureEncoding, TextError, embedded
from dragoman.index.update import Away, Done, Update
from dragoman.index.uploads import finish_changes, has_changes
from dragoman.languages import canonical_tag, comparable
from dragoman.media.folder import MediaFolder
from dragoman.media.images import DECODING, Decoding, ImageError
from dragoman.media.listing import Listing
from dragoman.models.identity import CALIBRATION, languages_of, model_in
from dragoman.progress import bar
from dragoman.records import Entry
from dragoman.retrievers.loading import image_fingerprint, load_encoder, model_config, model_fingerprint
from dragoman.stores import Store

log = logging.getLogger(__name__)

DEFAULT_STORE = "exact"
REJECTED = "rejected.jsonl"
BYTES_OF_AN_ENTRY = 1000
"""On the disk beside its vector, as measured with short captions and metadata; for the forecast."""


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """Choices for an index, none of which must be made."""

    store: str | None = None
    """Store, by its name; by default that of the index, or `exact`."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Change a setting of the store; what is not named stays as it was."""
    vision: str | Path | None = None
    """Folder of the vision tower, where the run does not know it."""
    lang: str | None = None
    """Language of captions in text files that name none; by default the source language of the model."""
    media_root: Path | None = None
    """Folder of the media of a corpus: the service may then give what lies in it. To be given every time."""
    whole_videos: bool = False
    """Keep each video as one entry, in place of its moments; to be given every time."""
    exclude: tuple[str, ...] = ()
    """Leave out files and folders that match these patterns; to be given every time."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    cluster: Cluster = HERE
    """Computers that encode pictures."""
    batch_size: int | None = None
    """Images a pass; by default 4 on a CPU, or 64."""
    decoding: Decoding = DECODING
    """Limits of what is decoded."""
    reject_file: str | Path | None = None
    """List what is rejected here as well."""

    def __post_init__(self) -> None:
        if self.lang is not None:
            try:
                object.__setattr__(self, "lang", canonical_tag(self.lang))
            except ValueError as error:
                raise UserError(f"--lang: {error}") from None


DEFAULTS = IndexOptions()


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """Account of one call."""

    info: IndexInfo
    done: Done
    swapped: bool
    """True where the index now holds vectors of another model, or another store."""
    rejected: tuple[Rejected, ...]
    left_out: tuple[str, ...] = ()
    """Lines on what the rules for folders leave out."""


def index_media(
    run: str | Path, media: str | Path, out: str | Path, options: IndexOptions = DEFAULTS
) -> IndexReport:
    """Make the index `out` agree with `media`, a folder of images or a corpus, by the model of `run`.

    Texts are encoded by its text side, and videos are cut into moments. What cannot be indexed is listed in
    `rejected.jsonl` of the index. Raises UserError where something else is wrong; the index is then as it
    was.
    """
    folder, model = Path(out), Path(run).absolute()
    items = _open_items(Path(media), model_config(model)["trained"], options)
    with sole_writer(folder):
        corrections = corrections_of(folder)
        before = read_info(folder) if (folder / MANIFEST).is_file() else None
        _require_same_media(before, items.root, folder)
        keep_corpus_corrections(folder, items.corrections, corrections)
        if corrections:
            items = CorrectedItems(items, corrections)
        if before is not None and has_changes(folder):
            with open_generation(before) as store:
                finish_changes(folder, store)
        info = _next_info(folder, model, items, before, options)
        remove_torn(info.place)
        load = partial(load_encoder, model, vision=info.vision)
        reader = ItemReader(items, partial(load, options.device), options.decoding)
        swapped = before is not None and before.generation != info.generation
        with gathered(options.cluster) as team, open_generation(info) as store:
            if swapped and before is not None:
                _carry_over(before, info, store)
            plan = make_plan(items, store)
            _forecast(info, len(items), len(plan.tasks))
            device, away = team.device(options.device, str), None
            if options.cluster.ray is not None:
                encoding = PictureEncoding(
                    load=load, fingerprint=info.fingerprint, device=device, decoding=options.decoding
                )
                away = Away(team, encoding)
            update = Update(
                store,
                plan,
                reader,
                batch_size=options.batch_size or _batch_size(model, device),
                workers=options.decoding.threads,
                away=away,
            )
            with bar(len(plan.tasks), folder.name or "index", "items") as progress:
                update.run(progress.update)
            if swapped and before is not None:
                _embed_added(before, info, store, reader, update)
            # Approximate search is tuned to what is there, and must be anew where most of it is new.
            if before is None or swapped or 2 * update.done.added > store.count():
                store.build()
            strangers = strangers_of(corrections, items, store) if corrections else None
            info = dataclasses.replace(info, count=store.count(), described=dict(store.describe()))
        lists = [folder / REJECTED, *([Path(options.reject_file)] if options.reject_file else [])]
        _write_rejected(lists, update.rejected)
        info = _with_calibration(info, model, before)
        # Where nothing changed the manifest stays, and no search need open the index again.
        if before is None or info != dataclasses.replace(before, updated=info.updated):
            write_info(info)
        # Last: searches read the old generation until the manifest names the new one.
        remove_leftovers(info)
    return IndexReport(
        info=info,
        done=update.done,
        swapped=swapped,
        rejected=tuple(update.rejected),
        left_out=(*items.left_out, *_told_of_cut(update.cut), *([strangers] if strangers else [])),
    )


def _open_items(media: Path, trained: Mapping[str, Any], options: IndexOptions) -> Items:
    """Open a corpus, or any other folder as a folder of media, for a model that was trained so."""
    manifest = media / MANIFEST
    # By its text, not by reading it: a corpus with a damaged manifest is told of, not indexed as photos.
    if manifest.is_file() and CORPUS.name in manifest.read_text(encoding="utf-8", errors="replace"):
        if options.exclude:
            raise UserError(f"{media} is a corpus, and --exclude is for folders of images. Leave it out.")
        # The extra `corpus` is not needed for media.
        from dragoman.index.corpus_items import CorpusItems

        return CorpusItems(media, trained, options.whole_videos, options.media_root)
    if options.media_root is not None:
        raise UserError(f"{media} is no corpus: its media lie in itself. Leave --media-root out.")
    if not media.is_dir():
        raise UserError(f"{media} is no folder. Give a folder of images, or a corpus.")
    # Entries have paths below the root, which must not change with the way to it.
    found = MediaFolder(media.resolve(), options.exclude)
    lang = options.lang or comparable(str(trained.get("source", "en")))
    wanted = "descriptions" in trained
    return FolderItems(found, lang, options.whole_videos, wants_descriptions=wanted)


def _require_same_media(before: IndexInfo | None, root: Path, folder: Path) -> None:
    # A folder that is gone has moved; one that is still there would lose all of its entries.
    if before and before.media and Path(before.media) != root and Path(before.media).is_dir():
        raise UserError(
            f"{folder} is an index of {before.media}, not of {root}: its entries would all be removed. "
            "Give the new index a folder of its own: --out"
        )


def _told_of_cut(item_ids: Sequence[str]) -> list[str]:
    """Name the first of the texts that the model cuts."""
    told = Listing()
    for item_id in item_ids:
        told.leave_out(item_id, "ends of texts, of which the model reads the beginning")
    return told.left_out()


def _next_info(
    folder: Path, model: Path, items: Items, before: IndexInfo | None, options: IndexOptions
) -> IndexInfo:
    """Describe the index as it will be, counts aside."""
    config = model_config(model)
    trained = config["trained"]
    chosen = options.store or (before.backend if before else DEFAULT_STORE)
    # With what has been added to the store's settings since: its default is no other setting.
    kept = complete_settings(chosen, before.settings) if before and before.backend == chosen else {}
    complete = complete_settings(chosen, {**kept, **options.settings})
    images, fingerprint = image_fingerprint(model), model_fingerprint(model)
    if before and (before.fingerprint, before.backend, kept) == (fingerprint, chosen, complete):
        generation = before.generation
    else:
        # Vectors of texts are made by the text side, and do not outlive it.
        vectors = fingerprint if _has_texts(items, before) else images
        generation = generation_name(folder, vectors, chosen, complete)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    tower = str(Path(options.vision).absolute()) if options.vision else None
    if tower is None and before is not None and before.image_fingerprint == images:
        tower = before.vision
    return IndexInfo(
        folder=folder,
        generation=generation,
        model=str(model),
        fingerprint=fingerprint,
        image_fingerprint=images,
        vision=tower,
        width=int(config["joint"]),
        backend=chosen,
        settings=complete,
        described={},
        count=0,
        media=str(items.root),
        languages=languages_of(trained),
        calibration=None,
        created=before.created if before else now,
        updated=now,
    )


def _has_texts(items: Items, before: IndexInfo | None) -> bool:
    """Tell if any item is a text, or any entry, such as one that was added by hand."""
    if next(items.walk("text"), None) is not None:
        return True
    if before is None:
        return False
    with open_generation(before) as store:
        return store.count(TEXTS) > 0


def _stays(entry: Entry, before: IndexInfo, info: IndexInfo) -> bool:
    """Tell if the vector of an entry is what the model of `info` makes of it."""
    if entry.kind == "text":
        return before.fingerprint == info.fingerprint
    return before.image_fingerprint == info.image_fingerprint


def _carry_over(before: IndexInfo, info: IndexInfo, store: Store) -> None:
    """Copy the entries that only get another store or other settings: they are not embedded again."""
    if before.image_fingerprint != info.image_fingerprint:
        return
    with open_generation(before) as old:
        page: list[Entry] = []
        for entry in walk(old):
            if _stays(entry, before, info):
                page.append(entry)
            if len(page) == PAGE:
                _copy(page, old, store)
                page = []
        _copy(page, old, store)


def _copy(page: list[Entry], old: Store, store: Store) -> None:
    there = store.get([entry.item_id for entry in page])
    missing = [entry for entry, found in zip(page, there, strict=True) if found is None]
    if missing:
        store.add(missing, old.vectors([entry.item_id for entry in missing]))


def _embed_added(
    before: IndexInfo, info: IndexInfo, store: Store, reader: ItemReader, update: Update
) -> None:
    """Let the new model read the entries that came by `Searcher.add`, or their files: no collection has
    them."""
    if before.fingerprint == info.fingerprint:
        return
    with open_generation(before) as old:
        for entry in walk(old):
            if State.parse(entry.source) is None and store.get([entry.item_id])[0] is None:
                try:
                    store.add(
                        [entry], embedded(entry, Path(info.media or "", entry.path or ""), reader.encoder)
                    )
                except TextError as error:
                    update.rejected.append(Rejected(entry.item_id, entry.path, str(error)))
                except ImageError as error:
                    reason = f"added by hand, and its file is not there to be read again ({error.reason})"
                    update.rejected.append(Rejected(entry.item_id, entry.path, reason))


def _forecast(info: IndexInfo, entries: int, new: int) -> None:
    vectors = entries * info.width * 4
    log.info(
        "%s: %s items, %s to look at. Takes about %s on the disk; a search maps %s of vectors into memory.",
        info.folder,
        f"{entries:,}",
        f"{new:,}",
        _size(vectors + entries * BYTES_OF_AN_ENTRY),
        _size(vectors),
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 0.1):.1f} MB"


def _batch_size(model: Path, device: str) -> int:
    """Choose as for features: on a CPU, larger batches are slower."""
    if device == "cpu" or model_config(model)["model_type"] == "dragoman-onnx":
        return 4
    if device == "cuda":
        return 64
    try:
        from dragoman.models.vision import checked_device
    except MissingExtraError:  # without PyTorch there is the CPU alone
        return 4
    return 4 if checked_device(device) == "cpu" else 64


def _with_calibration(info: IndexInfo, model: Path, before: IndexInfo | None) -> IndexInfo:
    """Copy the calibration of the model to the index, under the name of its content.

    Where the model has none, what the index had of the same model stays.
    """
    source = model_in(model) / CALIBRATION
    if not source.is_file():
        same = before is not None and before.fingerprint == info.fingerprint
        return dataclasses.replace(info, calibration=before.calibration) if before and same else info
    stored = read_sealed(source, "Make it anew: dragoman calibrate RUN CORPUS")
    if stored.get("fingerprint") != info.fingerprint:
        log.warning("%s is of another model and is left out. Make it anew: dragoman calibrate", source)
        return info
    file = calibration_name(source)
    if not (info.folder / file).is_file() or calibration_name(info.folder / file) != file:
        write_text(info.folder / file, source.read_text(encoding="utf-8"))
    summary = {name: stored[name] for name in ("false_accepts", "collection")}
    if "channels" in stored:
        kept = ("engine_name", "weight")
        summary["channels"] = {
            lang: {name: one[name] for name in kept} for lang, one in stored["channels"].items()
        }
    return dataclasses.replace(
        info, calibration={"file": file, "languages": sorted(stored["languages"]), **summary}
    )


def _write_rejected(files: list[Path], rejected: list[Rejected]) -> None:
    lines = [json.dumps(one._asdict(), ensure_ascii=False) + "\n" for one in rejected]
    for file in files:
        write_text(file, "".join(lines))
