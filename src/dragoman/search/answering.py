"""From queries to answers over one state of an index.

Q queries, J width of the vectors, P parts of texts, I images, K hits.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UnknownError, UserError
from dragoman.index.entries import TEXTS, video_id, video_of
from dragoman.media.video import VideoPart
from dragoman.messages import Message
from dragoman.records import Hit
from dragoman.retrievers.base import require_list
from dragoman.retrievers.postprocessing import AtSearch
from dragoman.search.calibration import NONE, Channel, fused
from dragoman.search.detection import UNKNOWN, language_of, language_warning
from dragoman.search.fields import KnownFields
from dragoman.search.kinds import FEWEST, PICTURES, both, merged, rarity
from dragoman.search.live import Opened
from dragoman.search.query import (
    MAX_CHARACTERS,
    Answer,
    Query,
    QueryChannel,
    QueryLanguage,
    QueryText,
    Unjudged,
    parse_text,
)
from dragoman.search.translating import Asked, result_of, wait_for
from dragoman.stores import Filter, Match, Store, parse
from dragoman.stores.filters import satisfies
from dragoman.texts import worded
from dragoman.translation.engine import Outcome

Floats = NDArray[np.float32]

DIRECT = QueryChannel(name="direct", best="direct")
TEXT, ADDED, SUBTRACTED, SEEN = 1.0, 1.0, -0.5, 1.0
"""Weights of the unit vectors that a query is the sum of; the sum has unit length again."""
MAX_HITS = 10_000
"""Largest k."""
DEEPER, SHALLOWEST = 4, 100
"""Matches that are looked at where hubness is taken out: times k, and at least."""
SEARCHES = 4
"""Times that a search is done where entries change between finding and reading them."""


@dataclass(frozen=True, kw_only=True)
class _Read:
    """A query as it was understood."""

    query: Query
    text: QueryText
    filter: Filter | None
    language: QueryLanguage | None
    warnings: tuple[Message, ...]
    channel: QueryChannel | None = None
    of_texts: bool = False
    """True where entries are looked for that are texts."""
    translations: Mapping[str, str] = field(default_factory=dict)
    """Translations of all parts of the text, where it is asked through them."""

    @property
    def translation(self) -> str | None:
        """The translation of what is searched for; None where the text is asked directly."""
        wanted = [part for part in (self.text.plain, *self.text.added) if part]
        return " ".join(self.translations[part] for part in wanted) if self.translations else None

    @property
    def asks(self) -> bool:
        """False where nothing is left that could be searched for, as nothing of the text can be read."""
        return bool(self.text.wanted) or _shows(self.query)

    @property
    def depth(self) -> int:
        """Hits to find, with those that are passed over; no more than the best `MAX_HITS`."""
        return min(self.query.k + self.query.offset, MAX_HITS)

    @property
    def text_alone(self) -> bool:
        return self.language is not None and not _shows(self.query)


def answers(queries: Sequence[Query], opened: Opened) -> list[Answer]:
    """Answer queries, in their order. Raises UserError where one of them cannot be answered."""
    if not queries:
        return []
    started = perf_counter()
    reads = [_read(query, opened.info.languages) for query in queries]
    read_at = perf_counter()
    reads, waited = _translated(reads, opened)
    translated = perf_counter()
    reads = _known(reads, opened)
    asked = [read for read in reads if read.asks]
    vectors_QJ = _vectors(asked, opened)
    encoded = perf_counter()
    hits = _found_of_kinds(opened, asked, vectors_QJ)
    seconds = {
        "encode": encoded - translated + read_at - started,
        "search": perf_counter() - encoded,
        **({"translate": translated - read_at} if waited else {}),
    }
    answered = iter(
        [
            _answer(read, of_kinds, vector_J, opened, seconds)
            for read, of_kinds, vector_J in zip(asked, hits, vectors_QJ, strict=True)
        ]
    )
    return [next(answered) if read.asks else _unread(read, seconds) for read in reads]


def begin_translations(query: Query, opened: Opened) -> list[Future[Outcome]]:
    """Let the text of a query be translated, where it is asked so; the same query then finds what has ended
    of these. Raises UserError for a query that cannot be answered."""
    if opened.calibration is None or not any(one.weight for one in opened.calibration.channels.values()):
        return []
    read = _read(query, opened.info.languages)
    if query.channel == "direct" or (channel := _channel(read, opened)) is None:
        return []
    return opened.translator.begin(read.text.parts, Asked.through(channel))


def _channel(read: _Read, opened: Opened) -> Channel | None:
    """Find the channel through which a text is asked best, where that is not the direct one."""
    if opened.calibration is None or read.language is None or not read.text.parts:
        return None
    channel = opened.calibration.channel(read.language.code)
    return channel if channel is not None and channel.weight else None


def _translated(reads: Sequence[_Read], opened: Opened) -> tuple[list[_Read], bool]:
    """Add the translations of texts that are asked through them, as far as they come in time; and tell if any
    was waited for."""
    begun: dict[int, tuple[Channel, list[Future[Outcome]]]] = {}
    found = [replace(read, channel=DIRECT if read.language else None) for read in reads]
    for row, read in enumerate(reads):
        if (channel := _channel(read, opened)) is None:
            continue
        told = QueryChannel(name="direct", best=channel.name, engine=channel.engine_name)
        found[row] = replace(found[row], channel=told)
        if read.query.channel == "best":
            begun[row] = channel, opened.translator.begin(read.text.parts, Asked.through(channel))
    futures = [future for _, some in begun.values() for future in some]
    wait_for(futures, max((reads[row].query.translate_within for row in begun), default=0.0))
    for row, (channel, some) in begun.items():
        found[row] = _with_translation(found[row], channel, some, opened)
    return found, bool(begun)


def _with_translation(
    read: _Read, channel: Channel, futures: Sequence[Future[Outcome]], opened: Opened
) -> _Read:
    """Add what was translated, or the warning that something was not."""
    asked = Asked.through(channel)
    results = [result_of(future, asked) for future in futures]
    missing = [one for one in results if isinstance(one, Message)]
    # A translation that the model cannot read would add the same pictures to each answer.
    if not missing and not all(opened.model.reads(results)):
        missing = [Message("translation_failed", language=asked.lang, engine=asked.name)]
    if missing:
        return replace(read, warnings=(*read.warnings, missing[0]))
    done = replace(read, translations=dict(zip(read.text.parts, results, strict=True)))
    told = QueryChannel(
        name=channel.name,
        best=channel.name,
        weight=channel.weight,
        engine=channel.engine_name,
        translation=done.translation,
    )
    return replace(done, channel=told)


def vectors_of_videos(videos: Sequence[str | Path | VideoPart], opened: Opened) -> Floats:
    """Encode video files, or parts of them: [Q, J] unit vectors."""
    require_list(videos, "encode_video", "videos")
    parts = [video if isinstance(video, VideoPart) else VideoPart.named(video) for video in videos]
    none = np.empty((0, opened.info.width), np.float32)
    return np.concatenate([none, *(opened.videos.vector(opened.model, part)[None] for part in parts)])


def _shows(query: Query) -> bool:
    """Tell if the query shows something beside its text."""
    return any(part is not None for part in (query.image, query.video, query.item_id))


def _read(query: Query, trained: Sequence[str]) -> _Read:
    if not 1 <= query.k <= MAX_HITS:
        raise UserError(f"k must lie in 1..{MAX_HITS}, got {query.k}.")
    if not 0 <= query.offset <= MAX_HITS:
        raise UserError(f"offset must lie in 0..{MAX_HITS}, got {query.offset}.")
    if query.min_score is not None and math.isnan(query.min_score):
        raise UserError("min_score is not a number, so no hit could reach it. Leave it out, or give one.")
    text = parse_text(query.text)
    if not text.wanted and not _shows(query):
        raise UserError(Message("query_subtracts" if text.subtracted else "query_empty"))
    spoken = text.wanted or " ".join(text.subtracted)
    language = language_of(spoken, trained, query.lang) if spoken else None
    warnings: list[Message] = []
    if text.cut:
        warnings.append(Message("query_cut", characters=len(query.text), read=MAX_CHARACTERS))
    if language and (warning := language_warning(language, trained)):
        warnings.append(warning)
    chosen = parse(query.filter) if isinstance(query.filter, str) else query.filter
    return _Read(query=query, text=text, filter=chosen, language=language, warnings=tuple(warnings))


def _known(reads: Sequence[_Read], opened: Opened) -> list[_Read]:
    """Take the parts of the texts away of which the model knows nothing, and warn of them."""
    parts = dict.fromkeys(part for read in reads for part in read.text.parts)
    known = opened.model.reads(list(parts)) if parts else []
    # Their vectors are those of an unknown word, the same for every text: they would add the same pictures to
    # each answer. Punctuation alone asks for nothing, even where the model knows the mark.
    lost = {part for part, knows in zip(parts, known, strict=True) if not (knows and worded(part))}
    return [_without(read, lost - read.translations.keys(), opened.info.languages) for read in reads]


def _without(read: _Read, lost: AbstractSet[str], trained: Sequence[str]) -> _Read:
    unread = [part for part in read.text.parts if part in lost]
    if not unread:
        return read
    text = replace(
        read.text,
        plain="" if read.text.plain in lost else read.text.plain,
        added=tuple(part for part in read.text.added if part not in lost),
        subtracted=tuple(part for part in read.text.subtracted if part not in lost),
    )
    code = "unread_left_out" if text.wanted or _shows(read.query) else "unread_nothing"
    texts = ", ".join(map(repr, unread))
    warning = (
        Message(code, texts=texts, languages=tuple(trained))
        if trained
        else Message(f"{code}_any", texts=texts)
    )
    return replace(read, text=text, warnings=(*read.warnings, warning))


def _unread(read: _Read, seconds: dict[str, float]) -> Answer:
    return Answer(
        hits=(),
        language=read.language,
        match=False,
        channel=read.channel,
        unjudged="unknown_words",
        warnings=read.warnings,
        seconds=seconds,
    )


def _vectors(reads: Sequence[_Read], opened: Opened) -> Floats:
    """Sum the weighted parts of each query: [Q, J] unit vectors."""
    # Parts of all queries are encoded together: models are fast in batches, and equal texts are read once.
    texts: list[str] = []
    languages: list[str] = []
    images, videos, items = [], [], []
    of_text: list[tuple[int, float]] = []
    of_image, of_video, of_item = [], [], []
    for row, read in enumerate(reads):
        plain = [read.text.plain] if read.text.plain else []
        for weight, parts in ((TEXT, plain), (ADDED, read.text.added), (SUBTRACTED, read.text.subtracted)):
            texts += parts
            languages += [read.language.code if read.language else UNKNOWN] * len(parts)
            of_text += [(row, weight)] * len(parts)
        if read.query.image is not None:
            images.append(read.query.image)
            of_image.append((row, SEEN))
        if read.query.video is not None:
            videos.append(read.query.video)
            of_video.append((row, SEEN))
        if read.query.item_id is not None:
            items.append(read.query.item_id)
            of_item.append((row, SEEN))
    sum_QJ = np.zeros((len(reads), opened.info.width), np.float32)
    for places, vectors in (
        (of_text, _vectors_of_texts(texts, languages, [reads[row] for row, _ in of_text], opened)),
        (of_image, opened.model.encode_image(images) if images else ()),
        (of_video, vectors_of_videos(videos, opened)),
        (of_item, _vectors_of_items(opened.store, items)),
    ):
        for (row, weight), vector_J in zip(places, vectors, strict=True):
            sum_QJ[row] += weight * vector_J
    length_Q = np.linalg.norm(sum_QJ, axis=1, keepdims=True)
    # Divided by such a length, rounding errors would be the query.
    if (length_Q < 1e-6).any():
        row = int(np.flatnonzero(length_Q[:, 0] < 1e-6)[0])
        raise UserError(Message("query_cancels", text=repr(reads[row].query.text)))
    return np.asarray(sum_QJ / length_Q, np.float32)


def _vectors_of_texts(
    texts: Sequence[str], languages: Sequence[str], reads: Sequence[_Read], opened: Opened
) -> Floats:
    """Encode parts of texts, each of the query beside it, with their translations where there are any."""
    if not texts:
        return np.empty((0, opened.info.width), np.float32)
    through = [row for row, read in enumerate(reads) if read.translations]
    channels = [_channel(reads[row], opened) for row in through]
    translations = [reads[row].translations[texts[row]] for row in through]
    sources = [channel.source for channel in channels if channel is not None]
    encoded = _corrections(opened).encoded(opened.model, [*texts, *translations], [*languages, *sources])
    found = np.array(encoded[: len(texts)])
    readable = opened.model.reads([texts[row] for row in through]) if through else []
    for row, channel, knows, translation_J in zip(
        through, channels, readable, encoded[len(texts) :], strict=True
    ):
        assert channel is not None
        text_J = found[row] if knows else np.full_like(found[row], np.nan)
        found[row] = fused(text_J[None], translation_J[None], channel.weight)[0]
    return found


def _vectors_of_items(store: Store, item_ids: Sequence[str]) -> Floats:
    if not item_ids:
        return np.empty((0, store.width), np.float32)
    try:
        return store.vectors(item_ids)
    except KeyError:
        entries = store.get(item_ids)
        lost = next((i for i, entry in zip(item_ids, entries, strict=True) if entry is None), item_ids[0])
        raise UnknownError(Message("item_unknown", item=repr(lost))) from None


def _corrections(opened: Opened) -> AtSearch:
    return NONE if opened.calibration is None else opened.calibration.corrections


def _nearest(
    store: Store, vectors_QJ: Floats, k: int, chosen: Filter | None, by: AtSearch
) -> list[list[Match]]:
    """Find the k best matches of each query by corrected scores, among more of the nearest."""
    if by.hubs is None:
        return store.search(vectors_QJ, k, chosen)
    found = store.search(vectors_QJ, min(max(DEEPER * k, SHALLOWEST), MAX_HITS), chosen)
    ids = list(dict.fromkeys(match.item_id for matches in found for match in matches))
    # Some may have been deleted since.
    ids = [one for one, entry in zip(ids, store.get(ids), strict=True) if entry is not None] if ids else []
    hub_of = dict(zip(ids, by.hub(_vectors_of_items(store, ids)).tolist(), strict=True))
    corrected = (
        [
            match._replace(score=match.score - hub_of[match.item_id])
            for match in matches
            if match.item_id in hub_of
        ]
        for matches in found
    )
    return [sorted(matches, key=lambda match: (-match.score, match.item_id))[:k] for matches in corrected]


def _search(opened: Opened, reads: Sequence[_Read], vectors_QJ: Floats) -> list[list[Match]]:
    """Find the matches of each query; queries of equal k, filter and correction share one call."""
    store = opened.store
    groups: dict[tuple[int, Filter | None, bool], list[int]] = defaultdict(list)
    for row, read in enumerate(reads):
        # One more where the item itself is taken out of the answer.
        k = read.depth + (read.query.item_id is not None)
        # Images that are near to all captions are no hubs of other images, and texts are none at all.
        groups[k, read.filter, read.text_alone and not read.of_texts].append(row)
    found: list[list[Match]] = [[] for _ in reads]
    videos = _Videos(store)
    for (k, chosen, by_text), rows in groups.items():
        asked, by = k, _corrections(opened) if by_text else NONE
        while rows:
            answered = list(zip(rows, _nearest(store, vectors_QJ[rows], asked, chosen, by), strict=True))
            videos.look_up([match.item_id for _, matches in answered for match in matches])
            rows = []
            for row, matches in answered:
                query = reads[row].query
                found[row] = _best_moments(matches, query, videos)[: reads[row].depth]
                # Many moments of few videos: look farther for others.
                if len(found[row]) < reads[row].depth and len(matches) == asked < MAX_HITS:
                    rows.append(row)
            asked = min(4 * asked, MAX_HITS)
    return found


class _Videos:
    """The videos that ids are moments of.

    An id alone does not tell: nothing keeps a picture from being called `x.jpg#t=1.00,2.00`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, str] = {}

    def look_up(self, item_ids: Sequence[str]) -> None:
        """Read the entries of ids that look like moments, all at once."""
        asked = [one for one in dict.fromkeys(item_ids) if video_id(one) != one and one not in self._known]
        if asked:
            for item_id, entry in zip(asked, self._store.get(asked), strict=True):
                self._known[item_id] = (entry and video_of(entry)) or item_id

    def of(self, item_id: str) -> str:
        """Name the video of a moment; all other ids are given back."""
        if video_id(item_id) == item_id:
            return item_id
        self.look_up([item_id])
        return self._known[item_id]


def _best_moments(matches: Sequence[Match], query: Query, videos: _Videos) -> list[Match]:
    """Leave out the item that is asked with, and all but the best moment of a video unless all are wanted."""
    if query.moments:
        return [match for match in matches if match.item_id != query.item_id]
    best: dict[str, Match] = {}
    for match in matches:
        best.setdefault(videos.of(match.item_id), match)
    if query.item_id is not None:
        best.pop(videos.of(query.item_id), None)
    return list(best.values())


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Hits of one query."""

    pictures: list[Hit]
    """Videos among them."""
    texts: list[Hit]


def _found_of_kinds(opened: Opened, reads: Sequence[_Read], vectors_QJ: Floats) -> list[_Found]:
    """Find the hits of each query, pictures and texts each by themselves."""
    if not opened.kinds.count(TEXTS):
        return [_Found(pictures=hits, texts=[]) for hits in _found(opened, reads, vectors_QJ)]
    pictures = [replace(read, filter=both(read.filter, PICTURES)) for read in reads]
    texts = [replace(read, filter=both(read.filter, TEXTS), of_texts=True) for read in reads]
    hits = _found(opened, [*pictures, *texts], np.concatenate([vectors_QJ, vectors_QJ]))
    halves = zip(hits[: len(reads)], hits[len(reads) :], strict=True)
    return [_Found(pictures=some, texts=others) for some, others in halves]


def _found(opened: Opened, reads: Sequence[_Read], vectors_QJ: Floats) -> list[list[Hit]]:
    """Find the hits of each query, with entries that pass its filter."""
    store = opened.store
    for _ in range(SEARCHES):
        found = _search(opened, reads, vectors_QJ)
        ids = list(dict.fromkeys(match.item_id for matches in found for match in matches))
        entry_of = dict(zip(ids, store.get(ids), strict=True)) if ids else {}
        hits = [
            [
                Hit(entry=entry, score=match.score)
                for match in matches
                if (entry := entry_of[match.item_id]) is not None and satisfies(entry, read.filter)
            ]
            for read, matches in zip(reads, found, strict=True)
        ]
        # Between the search and the reading an entry may be deleted, or lose what the filter asks for: others
        # take its place. Where writes do not end, fewer hits are better than none.
        if all(len(kept) == len(matches) for kept, matches in zip(hits, found, strict=True)):
            break
    return hits


def _answer(
    read: _Read, found: _Found, vector_J: Floats, opened: Opened, seconds: dict[str, float]
) -> Answer:
    count = opened.info.count if not found.texts else opened.kinds.count(PICTURES)
    judged = [_judged(read, found.pictures, vector_J, opened, count)]
    if found.texts:
        texts = _judged(
            replace(read, of_texts=True), found.texts, vector_J, opened, opened.kinds.count(TEXTS)
        )
        judged = [*judged, texts] if found.pictures else [texts]
    hits, _, match, unjudged = judged[0]
    if len(judged) == 2:
        hits, match = _merged(judged, vector_J, opened, read)[: read.depth], _match_of(judged)
        unjudged = None if any(one.unjudged is None for one in judged) else unjudged
    if read.query.min_score is not None and unjudged in (None, "not_calibrated", "not_text"):
        hits = [hit for hit in hits if _reaches(hit, read.query.min_score, unjudged)]
    # Not before: whether anything answers is told by the best of all.
    hits = hits[read.query.offset :]
    # Stand-ins for an index need not remember the fields of their entries.
    fields = getattr(opened, "fields", None) or KnownFields(opened.store)
    warnings = (*read.warnings, *fields.warnings(read.filter))
    return Answer(
        hits=tuple(hits),
        language=read.language,
        channel=read.channel,
        match=match,
        unjudged=unjudged,
        warnings=warnings,
        seconds=seconds,
    )


class _Judged(NamedTuple):
    """Hits of one kind, as far as they are judged."""

    hits: list[Hit]
    entries: int
    """Those of its kind in the index."""
    match: bool | None
    unjudged: Unjudged | None


def _judged(read: _Read, hits: list[Hit], vector_J: Floats, opened: Opened, count: int) -> _Judged:
    """Judge the hits of a query, all of one kind, among `count` entries of it."""
    if (unjudged := _unjudged(read, opened)) is not None:
        return _Judged(hits, count, None, unjudged)
    assert opened.calibration is not None and read.language is not None
    asked = (vector_J, read.language.code, count, read.text.wanted, read.translation)
    judged, match = opened.calibration.judged(hits, *asked, of_texts=read.of_texts)
    return _Judged(judged, count, match, None)


def _reaches(hit: Hit, least: float, unjudged: Unjudged | None) -> bool:
    """Tell if a hit stays: by its relevance, where the query is judged, else by its cosine."""
    # Of two kinds one may have no relevance.
    worth = hit.relevance if unjudged is None else hit.score
    return worth is None or worth >= least


def _match_of(judged: Sequence[_Judged]) -> bool | None:
    """Tell if anything is likely to answer: something is, nothing is, or nobody knows of some."""
    told = [one.match for one in judged]
    return True if True in told else None if None in told else False


def _merged(judged: Sequence[_Judged], vector_J: Floats, opened: Opened, read: _Read) -> list[Hit]:
    """Merge the hits of pictures and of texts: by relevance where both have it, else by rarity, or by cosine
    where there are too few of one."""
    if all(one.unjudged is None for one in judged):
        return merged(*((one.hits, [hit.relevance or 0.0 for hit in one.hits]) for one in judged))
    if min(one.entries for one in judged) < FEWEST:
        return merged(*((one.hits, [hit.score for hit in one.hits]) for one in judged))
    by = _corrections(opened) if read.text_alone else NONE
    sample_BJ = opened.kinds.sample(PICTURES)
    samples = (sample_BJ @ vector_J - by.hub(sample_BJ), opened.kinds.sample(TEXTS) @ vector_J)
    return merged(
        *(
            (one.hits, rarity(np.array([hit.score for hit in one.hits]), sample_B, one.entries).tolist())
            for one, sample_B in zip(judged, samples, strict=True)
        )
    )


def _unjudged(read: _Read, opened: Opened) -> Unjudged | None:
    if opened.calibration is None:
        return "not_calibrated"
    # Calibration learnt from texts: a picture is far closer to pictures than any text is.
    if not read.text_alone or read.language is None:
        return "not_text"
    spoken = read.language
    asked = (spoken.code, spoken.trained, read.text.wanted, read.translation)
    return opened.calibration.unjudged(*asked, of_texts=read.of_texts)
