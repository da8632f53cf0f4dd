"""The forms of a word that a dictionary may hold in its place: of English by rule, of others by likeness."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

SHORTEST_STEM = 3
"""Letters that two forms of a word begin with at least, where no rules are known."""
LONGEST_ENDING = 3
"""Letters that each of them may have behind those."""


def _pairs(text: str) -> dict[str, str]:
    """Read `form=word form=word …`."""
    return {form: word for form, _, word in (pair.partition("=") for pair in text.split())}


# Of the verbs and nouns of captions; those with a regular form are left to the rules.
_IRREGULAR = _pairs("""
men=man women=woman children=child people=person feet=foot teeth=tooth geese=goose mice=mouse wives=wife
knives=knife leaves=leaf wolves=wolf calves=calf halves=half shelves=shelf scarves=scarf loaves=loaf
lives=life ran=run sat=sit stood=stand rode=ride ridden=ride held=hold wore=wear worn=wear threw=throw
thrown=throw caught=catch swam=swim swum=swim fell=fall fallen=fall flew=fly flown=fly went=go gone=go
came=come took=take taken=take made=make hung=hang lay=lie lain=lie lying=lie tying=tie dying=die laid=lay
drove=drive driven=drive ate=eat eaten=eat drank=drink drunk=drink slept=sleep kept=keep dug=dig led=lead
left=leave met=meet dove=dive blew=blow blown=blow broke=break broken=break built=build bit=bite
bitten=bite wrote=write written=write did=do done=do does=do has=have had=have is=be are=be was=be were=be
been=be am=be saw=see seen=see shot=shoot spoke=speak swung=swing sprang=spring stuck=stick struck=strike
swept=sweep told=tell thought=think wound=wind leapt=leap lit=light shook=shake shaken=shake sang=sing
sung=sing slid=slide bent=bend fought=fight gave=give given=give got=get grew=grow grown=grow hid=hide
hidden=hide knelt=kneel knew=know paid=pay said=say sold=sell sent=send spent=spend stole=steal
stolen=steal drew=draw drawn=draw began=begin begun=begin rang=ring rose=rise risen=rise tore=tear
torn=tear wove=weave woven=weave bought=buy brought=bring felt=feel lost=lose spun=spin woke=wake
better=good best=good worse=bad worst=bad
""")


def english_bases(word: str) -> list[str]:
    """The words of which an English word in small letters may be a form, the likelier first."""
    found = [_IRREGULAR[word]] if word in _IRREGULAR else []
    if word.endswith("'s"):
        found.append(word[:-2])
    elif word.endswith("ies"):
        found += [word[:-3] + "y", word[:-1]]
    elif word.endswith("es"):
        found += [word[:-1], word[:-2]]
    elif word.endswith("s") and not word.endswith("ss"):
        found.append(word[:-1])
    for ending in ("ing", "ed", "er", "est"):
        if word.endswith(ending):
            found += _stems(word.removesuffix(ending))
    return [base for base in dict.fromkeys(found) if len(base) > 1]


def english_present(word: str) -> list[str]:
    """The words for "is" and a word in -ing, "runs" for "is running", the likelier first; none for others."""
    if not word.endswith("ing"):
        return []
    bases = english_bases(word)
    return [form for base in bases for form in (f"{base}s", f"{base}es", f"{base[:-1]}ies")]


def _stems(stem: str) -> Iterator[str]:
    if stem[-2:-1] == stem[-1:] and stem[-1:] not in "lsz":
        yield stem[:-1]
    yield stem
    yield stem + "e"
    if stem[-2:-1] == stem[-1:]:
        yield stem[:-1]
    if stem.endswith("i"):
        yield stem[:-1] + "y"


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The word of a sorted list that begins most like this one, or None where none is near.

    Near is what is equal but for endings of at most `LONGEST_ENDING` letters; of those the one with the most
    letters in common, then the shortest, then the first.
    """
    place = bisect_left(known, word)
    found = []
    # What shares most stands next to it, and what shares less is further off.
    for step, at in ((-1, place - 1), (1, place)):
        while 0 <= at < len(known):
            common = _common(word, known[at])
            if common < max(SHORTEST_STEM, len(word) - LONGEST_ENDING):
                break
            if len(known[at]) - common <= LONGEST_ENDING:
                found.append((-common, len(known[at]), known[at]))
            at += step
    return min(found)[2] if found else None


def _common(left: str, right: str) -> int:
    for at, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return at
    return min(len(left), len(right))
