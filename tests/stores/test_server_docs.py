"""The statements of docs/index_servers.md do what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from index_world import draw_vectors
from postgres_setup import url

from dragoman.errors import UserError
from dragoman.records import Entry
from dragoman.stores import postgres, qdrant

PAGE = (Path(__file__).parents[2] / "docs" / "index_servers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def as_role(role: str) -> str:
    return url().replace("postgres:@/postgres", f"{role}:@/photos")


def run(address: str, block: str) -> None:
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        for statement in block.split(";"):
            if statement.strip():
                connection.execute(statement)


@pytest.fixture
def photos() -> Iterator[None]:
    """The database of the page, with both roles."""
    pytest.importorskip("psycopg")
    server, extension, reader = BLOCKS
    run(url(), server)
    run(as_role("postgres"), extension)
    run(as_role("postgres"), reader)
    yield
    run(url(), "DROP DATABASE photos; DROP ROLE searcher; DROP ROLE dragoman")


def test_the_roles_of_the_page_can_fill_an_index_and_only_search_it(photos: None) -> None:
    with postgres.open_store(Path(), postgres.Config(url=as_role("dragoman")), 16, "g1") as index:
        index.add([Entry(item_id="a")], draw_vectors(1))
    with postgres.open_store(Path(), postgres.Config(url=as_role("searcher")), 16, "g1") as index:
        assert [match.item_id for match in index.search(draw_vectors(1), 1)[0]] == ["a"]
        with pytest.raises(UserError, match="permission denied"):
            index.add([Entry(item_id="b")], draw_vectors(1))


@pytest.mark.parametrize("store", [postgres, qdrant], ids=lambda module: module.__name__)
def test_every_setting_is_on_the_page_with_its_default(store: object) -> None:
    title = {postgres: "PostgreSQL", qdrant: "Qdrant"}[store]
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [row.strip("|").split("|") for row in re.findall(r"^\| `.*\|$", section, re.MULTILINE)]
    told: dict[str, str] = {}
    for names, defaults, _ in rows:
        values = [value.strip() for value in defaults.split(",")]
        for name, value in zip(re.findall(r"`(\w+)`", names), values, strict=True):
            told[name] = value.strip("`")
    config = store.Config()
    words = {"url": store.ADDRESS, "build_memory": "that of the server"}
    expected = {one.name: words.get(one.name, str(getattr(config, one.name))) for one in fields(config)}
    assert told == {
        name: text.lower() if text in ("True", "False") else text for name, text in expected.items()
    }
