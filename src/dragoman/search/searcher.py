"""A search over an index folder, while the index changes.

Q queries, J width of the vectors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from dragoman import forks
from dragoman.errors import UserError
from dragoman.folders import sole_writer
from dragoman.index.folder import IndexInfo
from dragoman.index.reading import embedded
from dragoman.records import Entry
from dragoman.retrievers.base import LanguageReader, encode_in
from dragoman.search.answering import answers, begin_translations, vectors_of_videos
from dragoman.search.detection import language_of
from dragoman.search.live import LiveIndex, LiveStore, Opened
from dragoman.search.query import Answer, Query
from dragoman.search.spoken import as_text, with_heard
from dragoman.speech.recogniser import Recogniser, open_recogniser
from dragoman.stores import Store
from dragoman.stores.checks import check_entry
from dragoman.translation.engine import Outcome

if TYPE_CHECKING:
    from PIL.Image import Image

    from dragoman.media.video import VideoPart


class Searcher:
    """An open index and the model that reads queries for it. Safe to use from several threads.

    Changes that another process makes are seen by the next search, a new model and its vectors among them.
    """

    def __init__(self, live: LiveIndex, recogniser: Recogniser | None = None) -> None:
        self._live, self._recogniser = live, recogniser
        self.renew_in_child()
        forks.watch(self)

    def before_fork(self) -> None:
        """Do nothing."""

    def renew_in_child(self) -> None:
        """Make a lock that nobody holds."""
        self._writing = threading.Lock()

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        model: str | Path | None = None,
        device: str = "cpu",
        recogniser: str | Path | Recogniser | None = None,
    ) -> Searcher:
        """Open an index folder and load its model.

        `model` is a run or an export to use in place of the folder that the index names. `recogniser`
        understands queries that are spoken: its folder, its address, or its hub id. Raises UserError,
        with the command that mends it, where there is no index, or the model is not the one that filled it.
        """
        live = LiveIndex(Path(folder), model, device)
        if isinstance(recogniser, str | Path):
            recogniser = open_recogniser(recogniser, device)
        return cls(live, recogniser)

    @property
    def info(self) -> IndexInfo:
        """The manifest as it is now."""
        with self._live.using() as opened:
            return opened.info

    @property
    def store(self) -> Store:
        """The store of the index as it is at each call, also after a swap. It is not yours to close."""
        return LiveStore(self._live, self.writing)

    def search(self, query: Query | str = "", **options: Any) -> Answer:
        """Answer one query: a `Query`, or its text and other fields, as in `search("um cão", k=5)`.

        Raises as `search_many`, and TypeError for an option that is no field of `Query`.
        """
        asked = Query(text=query, **options) if isinstance(query, str) else replace(query, **options)
        return self.search_many([asked])[0]

    def search_many(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer several queries, encoded together, and searched together where k and filter agree.

        Raises UserError for an empty query, an unknown item, an unreadable image, video or sound, one in
        which nothing was understood, and a filter that makes no sense; none is answered then.
        """
        asked = [as_text(query, self._recogniser) for query in queries]
        found = self._live.run(partial(answers, [query for query, _ in asked]))
        return [with_heard(answer, heard) for answer, (_, heard) in zip(found, asked, strict=True)]

    def begin_translations(self, query: Query) -> list[Future[Outcome]]:
        """Let the text of a query be translated, where its language is asked so; return what will end then.

        The same query with `translate_within=0` is asked with what has ended of these. Raises UserError for a
        query that makes no sense.
        """
        return self._live.run(partial(begin_translations, query))

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts as they are, signs and all: [Q, J] unit vectors. Their languages are detected where
        the model reads by them."""

        def encode(opened: Opened) -> NDArray[np.float32]:
            # Detecting takes longer than some models take to read.
            if not (isinstance(opened.model, LanguageReader) and opened.model.adapted):
                return opened.model.encode_text(texts)
            languages = [language_of(text, opened.info.languages).code for text in texts]
            return encode_in(opened.model, texts, languages)

        return self._live.run(encode)

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers of leading components that can stand for a vector (Matryoshka), rising; the last is J."""
        return self._live.run(lambda opened: opened.model.widths)

    def tokens(self, texts: Sequence[str]) -> list[int] | None:
        """Count the tokens of each text as the model cuts it; None where it does not tell."""
        return self._live.run(lambda opened: opened.model.tokens(texts))

    def encode_image(self, images: Sequence[str | Path | Image]) -> NDArray[np.float32]:
        """Encode image files or PIL images: [Q, J] unit vectors."""
        return self._live.run(lambda opened: opened.model.encode_image(images))

    def encode_video(self, videos: Sequence[str | Path | VideoPart]) -> NDArray[np.float32]:
        """Encode video files, or parts of them (`clip.mp4#t=3,8`), as queries are: [Q, J] unit vectors."""
        return self._live.run(partial(vectors_of_videos, videos))

    def media_file(self, entry: Entry) -> Path | None:
        """Find the file of an entry; None where it has none on this computer.

        A relative path that leads out of the media folder, by `..` or a link, is none. An absolute one is
        taken as it is: let no one whom you do not trust add entries with such paths.
        """
        if entry.path is None or "://" in entry.path or "\0" in entry.path:
            return None
        if Path(entry.path).is_absolute():
            return Path(entry.path)
        # Links are followed before the comparison: the service sends these files to strangers.
        try:
            if (media := self.info.media_root) is None:
                return None
            root = media.resolve()
            file = (root / entry.path).resolve()
        except (OSError, RuntimeError):  # a link to itself
            return None
        return file if file.is_relative_to(root) and file != root else None

    def add(
        self,
        entry: Entry,
        image: str | Path | Image | None = None,
        *,
        begin: Callable[[], object] = lambda: None,
    ) -> Entry | None:
        """Embed an image, or the text that an entry is, and store the entry, durably; returns the one of the
        same id that it replaced.

        `begin` is called once the index is held, before anything is stored. Raises UserError where the image
        or the text cannot be read, the entry is malformed, or another process writes.
        """
        check_entry(entry)
        if image is None and entry.text is None:
            raise UserError(f"{entry.item_id!r} is no text. Give the image that it is.")
        with self._live.using() as opened:
            # Before the index is held: others need not wait for it.
            model, vectors_1J = opened.model, embedded(entry, image, opened.model)
        with self.writing() as opened:
            if opened.model is not model:
                vectors_1J = embedded(entry, image, opened.model)
            begin()
            (before,) = opened.store.get([entry.item_id])
            (opened.store.add if before is None else opened.store.update)([entry], vectors_1J)
            opened.kinds.forget()
        return before

    def delete(self, item_ids: Iterable[str]) -> int:
        """Remove entries, durably; their files stay. Returns how many there were.

        Raises UserError where another process writes.
        """
        return len(self.take(item_ids))

    def take(self, item_ids: Iterable[str], *, begin: Callable[[], object] = lambda: None) -> list[Entry]:
        """Remove entries, durably, and return those that were there. `begin` and errors as of `add`."""
        with self.writing() as opened:
            begin()
            found = [entry for entry in opened.store.get(list(item_ids)) if entry is not None]
            opened.store.delete([entry.item_id for entry in found])
            opened.kinds.forget()
        return found

    @contextmanager
    def writing(self) -> Iterator[Opened]:
        """Hold the index for changes, and give its state. Raises UserError where another process writes."""
        # The state after the lock: one that was looked at before may be swapped out while the lock is waited
        # for, and what is written to it is lost.
        with self._writing, sole_writer(self._live.folder), self._live.using() as opened:
            yield opened

    def close(self) -> None:
        """Release files and connections once searches in other threads have ended. Twice is fine."""
        self._live.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
