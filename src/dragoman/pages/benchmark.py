"""The row of a benchmark beside the published ones, as Markdown and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.pages import engine

NO_ROWS = "No published figure of this kind was verified for this test set."


@dataclass(frozen=True, kw_only=True)
class SystemLine:
    """A system in the table of one figure."""

    system: str
    values: Mapping[str, str]
    """Language to value, printed."""
    source: str
    otherwise: str = ""
    """Circumstances that are not ours."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkPage:
    """Tables of a benchmark: ours first, then the published rows, with what differs in how they were made."""

    title: str
    about: Sequence[str]
    """Sentences above the tables."""
    tables: Mapping[str, Sequence[SystemLine]]
    """Figure to its lines, the first of which is ours."""

    def languages(self, figure: str) -> list[str]:
        """List the columns of a table, ours first."""
        return list(dict.fromkeys(lang for line in self.tables[figure] for lang in line.values))

    def markdown(self) -> Iterator[str]:
        """Give the lines of `benchmark.md`."""
        yield from (f"# {self.title}", "", *self.about)
        for figure, (ours, *published) in self.tables.items():
            columns = self.languages(figure)
            yield from ("", f"## {figure}", "")
            yield f"| system | {' | '.join(columns)} | source | made otherwise |"
            yield f"|---|{'---|' * len(columns)}---|---|"
            yield f"| **{ours.system}** | {_cells(ours, columns)} | {ours.source} | |"
            for line in published:
                yield f"| {line.system} | {_cells(line, columns)} | {line.source} | {line.otherwise} |"
            if not published:
                yield from ("", NO_ROWS)

    def write(self, path: Path) -> None:
        """Write the same as HTML."""
        engine.write_page(path, "benchmark.html", title=self.title, page=self, no_rows=NO_ROWS)


def _cells(line: SystemLine, columns: Sequence[str]) -> str:
    return " | ".join(line.values.get(lang, "") for lang in columns)
