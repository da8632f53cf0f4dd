"""The job: descriptions from one source, a caption of the role `description` for each sentence.

An item has one description: a job replaces those of the items that it describes, and leaves all others as
they are. The captions of the corpus are replaced at once.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dragoman.arrow import pa, pc
from dragoman.corpus.checks import RecordError, Rejects, caption_values
from dragoman.corpus.corpus import CAPTIONS, Corpus
from dragoman.corpus.readers.formats.plain import read_jsonl, read_table
from dragoman.descriptions.nearest import captions_of_nearest
from dragoman.descriptions.seeing import SeenSettings, describer, pictures_of
from dragoman.folders import sole_writer, write_text
from dragoman.languages import comparable
from dragoman.translation.engine import Rejected
from dragoman.translation.texts import Counts, translate_texts

log = logging.getLogger(__name__)

DESCRIPTION = "description"
REJECTED = Path("rejected") / "describe.jsonl"
# A sentence ends where another begins: "no. 5" and "e.g. a dog" are no ends.
_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+(?=[^\W\d_a-z])|(?<=[。！？])")


class Sentence(NamedTuple):
    """One sentence of a description."""

    text: str
    lang: str
    engine: str | None


@dataclass(frozen=True, kw_only=True)
class DescriptionReport:
    """Account of a job."""

    items: int
    """Items that were described."""
    sentences: int
    unchanged: bool
    """All of that stood in the corpus already."""
    rejected: int = 0
    reject_file: Path | None = None
    """JSON Lines, one a line with its reason; null where there is none."""
    counts: Counts | None = None
    """Pictures that a model was shown, and those that it had seen before."""


def sentences(text: str) -> list[str]:
    """Cut a text behind its sentences."""
    return [one.strip() for one in _END.split(text) if one.strip()]


def describe_from(
    corpus_folder: str | Path, file: str | Path, *, lang: str = "en", reject_file: str | Path | None = None
) -> DescriptionReport:
    """Take descriptions from JSON Lines (`item_id`, `text`, perhaps `lang` and `engine`), or from a table.

    Lines of one item follow one another in its description. Raises UserError at the first line that names no
    item of the corpus, or says what people wrote of its item; with a reject file such lines are listed there.
    """
    corpus, path = Corpus.open(corpus_folder), Path(file)
    rejects = Rejects(None if reject_file is None else Path(reject_file))
    is_json = path.name.lower().removesuffix(".gz").endswith((".jsonl", ".json"))
    source = read_jsonl(path) if is_json else read_table(path, columns={})
    known = set(corpus.items["item_id"].to_pylist())
    written = corpus.select(role="human")
    human = set(zip(written.item_ids, (_plain(text) for text in written.texts), strict=True))
    found: dict[str, list[Sentence]] = {}
    for row in source.captions:
        try:
            if row.fault:
                raise RecordError(row.fault)
            values = caption_values({**row.fields, "role": DESCRIPTION}, comparable(lang), None)
            if values.item_id not in known:
                raise RecordError(f"item_id {values.item_id!r} is no item of {corpus.folder}. Correct it.")
            if (values.item_id, _plain(values.text)) in human:
                raise RecordError(
                    f"text is {values.text!r}, a caption that people wrote of this item. Leave it out."
                )
        except RecordError as fault:
            rejects.add(row.file, row.line, str(fault), row.raw)
            continue
        said = (Sentence(text, values.lang, values.engine) for text in sentences(values.text))
        found.setdefault(values.item_id, []).extend(said)
    rejects.write()
    return _keep(corpus.folder, found, rejected=len(rejects), reject_file=rejects.file)


def describe_nearest(
    corpus_folder: str | Path, features: str, *, count: int = 5, lang: str = "en"
) -> DescriptionReport:
    """Describe every item that has a vector in a feature set by a caption of each of the `count` training
    photos that look most like it, itself not among them.

    No caption of val or test is ever read. Raises UserError where no training photo has a caption.
    """
    corpus, tag = Corpus.open(corpus_folder), comparable(lang)
    found = captions_of_nearest(corpus, corpus.features(features), count, tag)
    by = f"nearest:{features}"
    return _keep(
        corpus.folder, {item: [Sentence(text, tag, by) for text in said] for item, said in found.items()}
    )


def describe_seen(
    corpus_folder: str | Path, model: str, *, lang: str = "en", settings: SeenSettings | None = None
) -> DescriptionReport:
    """Let a model behind an OpenAI-compatible endpoint describe the photos of a corpus.

    Every description is kept in the cache of translations as soon as it is there, by the content of its
    photo: a job that was stopped goes on. Videos, and photos that cannot be read or are refused, are listed
    in `rejected/describe.jsonl`. Raises UserError where the endpoint or its key is missing.
    """
    settings, corpus, tag = settings or SeenSettings(), Corpus.open(corpus_folder), comparable(lang)
    pictures, refused = pictures_of(corpus, settings.splits)
    engine = describer(model, tag, dict(pictures.values()), settings)
    outcomes, counts = translate_texts(
        (digest for digest, _ in pictures.values()), engine, "picture", tag, settings
    )
    found: dict[str, list[Sentence]] = {}
    for item_id, (digest, path) in pictures.items():
        outcome = outcomes[digest]
        if isinstance(outcome, Rejected):
            refused.append({"item_id": item_id, "path": str(path), "reason": outcome.reason})
        else:
            found[item_id] = [Sentence(text, tag, engine.name) for text in sentences(outcome)]
    file = corpus.folder / REJECTED
    with sole_writer(corpus.folder):
        if refused:
            write_text(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in refused))
        else:
            file.unlink(missing_ok=True)
    return _keep(
        corpus.folder,
        found,
        rejected=len(refused),
        reject_file=file if refused else None,
        counts=counts,
    )


def _plain(text: str) -> str:
    return text.strip().casefold()


def _keep(
    folder: Path,
    found: Mapping[str, Sequence[Sentence]],
    *,
    rejected: int = 0,
    reject_file: Path | None = None,
    counts: Counts | None = None,
) -> DescriptionReport:
    """Write descriptions into the corpus in the place of those that their items had."""
    with sole_writer(folder):
        # Read again under the lock: a model may have looked for days.
        corpus = Corpus.open(folder)
        order = [item_id for item_id in corpus.items["item_id"].to_pylist() if found.get(item_id)]
        rows = [
            {"caption_id": f"{item_id}#description#{at}", "item_id": item_id, "role": DESCRIPTION}
            | sentence._asdict()
            for item_id in order
            for at, sentence in enumerate(found[item_id])
        ]
        new, captions = pa.Table.from_pylist(rows, schema=CAPTIONS), corpus.captions
        old = pc.and_(
            pc.equal(captions["role"], DESCRIPTION),
            pc.is_in(captions["item_id"], value_set=pa.array(order, pa.string())),
        )
        unchanged = captions.filter(old).select(CAPTIONS.names).to_pylist() == new.to_pylist()
        if not unchanged:
            kept = captions.filter(pc.invert(old))
            # Columns that others added stay, null for the new rows.
            corpus.replace_captions(pa.concat_tables([kept, new], promote_options="default"))
            log.info("%s: %d items described, by %d sentences", folder, len(order), len(rows))
    return DescriptionReport(
        items=len(order),
        sentences=len(rows),
        unchanged=unchanged,
        rejected=rejected,
        reject_file=reject_file,
        counts=counts,
    )
