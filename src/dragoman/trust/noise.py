"""The noise laboratory: known damage, planted in given texts at a given rate.

Damage is nested: with one seed, the texts damaged at a lower rate are damaged in the same way at a higher
one, so that a curve over the rate compares like with like.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from dragoman.errors import UserError
from dragoman.trust.signals import words

KINDS = ("drop", "swap", "scramble", "repeat", "shuffle", "wrong_language", "copy")
TRIES = 10


@dataclass(frozen=True, kw_only=True)
class NoiseSettings:
    """Settings of the damage.

    drop            words are left out
    swap            neighbouring words change places
    scramble        the words stand in a random order
    repeat          the end is replaced by a phrase that goes on and on
    shuffle         the translation of another item's caption
    wrong_language  the text in another language (the source where there is none)
    copy            the source as it is
    """

    rate: float = 0.2
    """Share of the captions that are damaged, 0..1."""
    kinds: tuple[str, ...] = ("drop", "swap", "shuffle", "wrong_language")
    """Kinds of damage, which share the damaged captions evenly."""
    seed: int = 0
    """The same seed gives the same damage."""
    strength: float = 0.3
    """Share of the words that drop and swap touch, at least one."""

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise UserError(f"The noise rate must lie in 0..1, got {self.rate}. For 40 %: --rate 0.4")
        if not 0 < self.strength < 1:
            raise UserError(f"The strength must lie between 0 and 1, got {self.strength}.")
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise UserError(f"No kind of noise {', '.join(unknown) or 'given'}. Known: {', '.join(KINDS)}.")


class Damage(NamedTuple):
    """Damage to one text. `donor` is the row that a shuffled text was taken from."""

    kind: str
    text: str
    donor: int | None = None


def plant(
    texts: Sequence[str],
    config: NoiseSettings,
    *,
    items: Sequence[Hashable] | None = None,
    pools: Sequence[Hashable] | None = None,
    sources: Sequence[str] | None = None,
    foreign: Sequence[Sequence[str]] | None = None,
) -> dict[int, Damage]:
    """Damage exactly round(rate * n) of n texts; the result maps their rows to the damage.

    A shuffled text comes from a row of another item and the same pool (default: every row is its own item,
    all are one pool). `sources` are needed by copy, `foreign` (texts in other languages, row by row) by
    wrong_language, which takes the source where there is none. Damage always changes the text: where a kind
    cannot, the next one is tried, and where none can, another row. Raises UserError where too few texts can
    be damaged. The same input and configuration give the same result on every machine.
    """
    wanted = round(config.rate * len(texts))
    order = list(range(len(texts)))
    Random(f"order {config.seed}").shuffle(order)
    found: dict[int, Damage] = {}
    for position, row in enumerate(order):
        if len(found) == wanted:
            break
        # Each row has random numbers of its own: what happens to it does not depend on the rows before it.
        rng = Random(f"{config.seed} {row}")
        for step in range(len(config.kinds)):
            kind = config.kinds[(position + step) % len(config.kinds)]
            if kind == "shuffle":
                donor = _donor(texts, order, position, items, pools)
                damage = None if donor is None else Damage(kind, texts[donor], donor)
            else:
                given = _given(kind, row, sources, foreign)
                text = _changed(kind, texts[row], given, rng, config.strength)
                damage = None if text is None else Damage(kind, text)
            if damage is not None:
                found[row] = damage
                break
    if len(found) < wanted:
        raise UserError(
            f"Only {len(found)} of {len(texts)} texts can be damaged by {', '.join(config.kinds)}, "
            f"but {wanted} were to be. Lower --rate or add kinds: {', '.join(KINDS)}."
        )
    return found


def _changed(kind: str, text: str, given: Sequence[str], rng: Random, strength: float) -> str | None:
    """The damaged text, or None where this kind cannot change it."""
    if kind in ("copy", "wrong_language"):
        others = [other for other in given if other != text]
        return rng.choice(others) if others else None
    units, glue = _units(text)
    if len(units) < 2:
        return None
    for _ in range(TRIES):
        changed = glue.join(EDITS[kind](units, rng, strength))
        if changed != text and words(changed):
            return changed
    return None


def _drop(units: list[str], rng: Random, strength: float) -> list[str]:
    count = min(max(1, round(strength * len(units))), len(units) - 1)
    gone = set(rng.sample(range(len(units)), count))
    return [unit for place, unit in enumerate(units) if place not in gone]


def _swap(units: list[str], rng: Random, strength: float) -> list[str]:
    swapped = list(units)
    # One swap moves two words.
    for _ in range(max(1, round(strength * len(units) / 2))):
        place = rng.randrange(len(units) - 1)
        swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
    return swapped


def _scramble(units: list[str], rng: Random, strength: float) -> list[str]:
    return rng.sample(units, len(units))


def _repeat(units: list[str], rng: Random, strength: float) -> list[str]:
    length = rng.randint(1, min(3, len(units)))
    end = rng.randint(length, len(units))
    return units[:end] + units[end - length : end] * rng.randint(3, 8)


EDITS: dict[str, Callable[[list[str], Random, float], list[str]]] = {
    "drop": _drop,
    "swap": _swap,
    "scramble": _scramble,
    "repeat": _repeat,
}


def _units(text: str) -> tuple[list[str], str]:
    """Words and what joins them; characters where a text without spaces is in a script without spaces."""
    parts = text.split()
    if len(parts) == 1 and len(words(text)) > 1:
        return list(text), ""
    return parts, " "


def _given(
    kind: str, row: int, sources: Sequence[str] | None, foreign: Sequence[Sequence[str]] | None
) -> Sequence[str]:
    source = [sources[row]] if sources is not None else []
    if kind == "wrong_language" and foreign is not None and foreign[row]:
        return foreign[row]
    return source


def _donor(
    texts: Sequence[str],
    order: Sequence[int],
    position: int,
    items: Sequence[Hashable] | None,
    pools: Sequence[Hashable] | None,
) -> int | None:
    """The next row in random order that fits, so that hardly any row is taken twice."""
    row = order[position]
    for step in range(1, len(order)):
        other = order[(position + step) % len(order)]
        same_item = items is not None and items[other] == items[row]
        same_pool = pools is None or pools[other] == pools[row]
        if same_pool and not same_item and texts[other] != texts[row]:
            return other
    return None
