"""Settings are read from text and from JSON by the types of their fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest

from dragoman import settings
from dragoman.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Pen:
    """A pen."""

    width: float = 0.5
    """Millimetres."""
    colours: tuple[str, ...] = ("blue",)

    @classmethod
    def from_text(cls, text: str) -> Pen | None:
        return cls(width=2.0) if text == "marker" else None


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A letter."""

    to: str = ""
    pages: int = 1
    """Sheets of paper,
    written on both sides."""
    seal: bool = False
    kind: Literal["note", "bill"] = "note"
    stamp: int | None = None
    copies: Sequence[str] | None = None
    pen: Pen = field(default_factory=Pen)
    spare: Pen | None = None

    def __post_init__(self) -> None:
        if self.pages < 1:
            raise UserError(f"pages must be at least 1, got {self.pages}")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("to", "Ana", "Ana"),
        ("pages", "3", 3),
        ("seal", "TRUE", True),
        ("kind", "bill", "bill"),
        ("stamp", "80", 80),
        ("stamp", "none", None),
        ("copies", "a, b", ("a", "b")),
        ("copies", "", None),
        ("pen.width", "1", 1.0),
        ("pen.colours", "red,green,", ("red", "green")),
        ("pen", "marker", Pen(width=2.0)),
        ("pages", 4, 4),
    ],
)
def test_the_type_of_a_field_reads_its_text(name: str, text: object, value: object) -> None:
    made: Any = settings.make(Letter, {name: text})
    for part in name.split("."):
        made = getattr(made, part)
    assert (made, type(made)) == (value, type(value))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"page": "2"},
            "No setting 'page'. Known here: copies, kind, pages, pen, seal, spare, stamp, to. "
            "Did you mean 'pages'?",
        ),
        ({"pen.with": "2"}, "No setting 'pen.with'. Known here: colours, width. Did you mean 'width'?"),
        ({"pages": "two"}, "pages must be a whole number, got 'two'"),
        ({"pen.width": "inf"}, "pen.width must be a number, got 'inf'"),
        ({"seal": "maybe"}, "seal must be true or false, got 'maybe'"),
        ({"kind": "ode"}, "kind must be one of note, bill, got 'ode'"),
        ({"stamp": "dear"}, "stamp must be a whole number, got 'dear'"),
        ({"pen": "0.5"}, "pen holds several settings: set one of its parts, pen.PART=VALUE"),
        ({"pages.first": "2"}, "Setting 'pages' has no parts, got first"),
        ({"spare.width": "2"}, "Setting 'spare' has no parts, got width"),
        ({"pages": "0"}, "pages must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_told(given: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        settings.make(Letter, given)
    assert str(caught.value) == message


def test_messages_name_whose_settings_they_are() -> None:
    with pytest.raises(UserError, match=r"^The office has no setting 'x'\. Known here: colours, width$"):
        settings.make(Pen, {"x": "1"}, "The office")
    with pytest.raises(UserError, match=r"^The office: width must be a number, got 'broad'$"):
        settings.make(Pen, {"width": "broad"}, "The office")


def test_a_change_leaves_all_else_as_it_is() -> None:
    letter = Letter(to="Ana", pages=2, pen=Pen(width=1.0))
    found = settings.change(letter, {"pen.colours": "red", "pages": "3"})
    assert found == Letter(to="Ana", pages=3, pen=Pen(width=1.0, colours=("red",)))


def test_settings_survive_json() -> None:
    letter = Letter(pages=2, copies=("a",), pen=Pen(colours=("red",)), spare=Pen(width=1.0))
    plain = asdict(letter)
    plain["copies"], plain["pen"]["colours"], plain["spare"]["colours"] = ["a"], ["red"], ["blue"]
    assert settings.restore(Letter, plain) == letter
    with pytest.raises(TypeError, match="unexpected keyword argument 'ink'"):
        settings.restore(Letter, plain | {"ink": 1})


@dataclass(frozen=True)
class Express(Letter):
    hours: int = 24
    """Hours until it is there."""


def test_docstrings_are_those_of_the_fields() -> None:
    assert settings.docs(Letter) == {"pages": "Sheets of paper, written on both sides."}


def test_docstrings_of_inherited_fields_are_found_too() -> None:
    assert settings.docs(Express) == {
        "pages": "Sheets of paper, written on both sides.",
        "hours": "Hours until it is there.",
    }


def test_pairs_are_split_at_their_first_sign() -> None:
    assert settings.pairs(["a=b=c", "d="], "--set", "NAME=VALUE", "a=1") == [("a", "b=c"), ("d", "")]
    with pytest.raises(UserError, match=r"^--set takes NAME=VALUE, got 'a'\. Example: --set a=1$"):
        settings.pairs(["a"], "--set", "NAME=VALUE", "a=1")
