"""The tables of docs/datasets.md, made from what the readers say of themselves."""

from __future__ import annotations

from collections.abc import Iterable

from dragoman.corpus import Corpus, datasets
from dragoman.corpus.readers.contract import Published
from dragoman.corpus.summary import summarize
from dragoman.records import SPLITS


def readers() -> list[str]:
    """Make one row for each data set: what it is, its files, where they are, counts, defects."""
    lines = [
        "| verb | data set | files, below ROOT | published at | languages | items: train, val, test |",
        "|---|---|---|---|---|---|",
    ]
    for name in datasets.names():
        reader = datasets.load(name)
        about = reader.about
        needed = reader.needed(about.tests[0] if about.tests else "")
        shown = [*needed.get("", ()), *next((paths for lang, paths in needed.items() if lang), ())]
        first = next((lang for lang in needed if lang), "")
        files = _paths(shown) + (f" (so for each language; here {first})" if first else "")
        where = "; ".join(
            f"{f'`{start}…`: ' if start else ''}{_link(at)}" for start, at in about.where.items()
        )
        languages = ", ".join(about.languages) or "as the files say"
        cells = [
            f"`dragoman corpus {name}`",
            about.title,
            files or about.title,
            where,
            languages,
            _items(about),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def defects() -> list[str]:
    """List known defects, and what is done about them, by data set."""
    known = [(name, datasets.load(name).about.defects) for name in datasets.names()]
    return [f"- `{name}`: {'; '.join(found)}." for name, found in known if found]


def counts(name: str, corpus: Corpus, test: str | None = None) -> list[str]:
    """Make the rows of a table of counts: items, then captions by language and engine, equal rows as one."""
    name = f"{name} --test {test}" if test else name
    found = summarize(corpus, samples=0, seed=0)
    rows: dict[tuple[int, ...], list[str]] = {}
    for count in found.captions:
        engine = f" by {count.engine}" if count.engine else ""
        rows.setdefault(tuple(count.splits.values()), []).append(f"{count.lang}{engine}")
    lines = [_counted(name, "items", tuple(found.items.values()))]
    return lines + [_counted(name, ", ".join(langs), splits) for splits, langs in rows.items()]


def _counted(name: str, what: str, splits: tuple[int, ...]) -> str:
    numbers = " | ".join(f"{count:,}" if count else "–" for count in splits)
    return f"| `{name}` | {what} | {numbers} |"


def _paths(names: Iterable[str]) -> str:
    """Paths folder by folder; of many files of a folder the first and the last."""
    folders: dict[str, list[str]] = {}
    for name in names:
        folder, slash, file = name.rpartition("/")
        folders.setdefault(folder + slash, []).append(f"`{folder + slash}{file}`")
    short = [
        ", ".join(paths) if len(paths) < 4 else f"{paths[0]} … {paths[-1]} ({len(paths)} files)"
        for paths in folders.values()
    ]
    return ", ".join(short)


def _items(about: Published) -> str:
    if not about.items:
        return "as the files say"
    cells = []
    for split in SPLITS:
        own = {name: count for name, count in about.items.items() if name.split(" ")[0] == split}
        named = [f"{n:,} ({name.partition(' ')[2]})" if " " in name else f"{n:,}" for name, n in own.items()]
        cells.append(", ".join(named) or "–")
    return " / ".join(cells)


def _link(address: str) -> str:
    url, _, rest = address.partition(" ")
    return f"<{url}>{f' {rest}' if rest else ''}"
