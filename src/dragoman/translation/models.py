"""Models that translate: their folders and hub ids, and the codes by which they are told their languages."""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.errors import MissingExtraError, UserError, reason
from dragoman.folders import sha256
from dragoman.languages import Language

_FIX = "Give a folder or hub id of a translation model, such as transformers:facebook/m2m100_418M."


def load_tokenizer(model: str, extra: str) -> Any:
    """The tokenizer of a folder or hub id. Raises UserError where there is none."""
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtraError("transformers", extra, "Translating with a model") from None
    try:
        with warnings.catch_warnings():
            # Marian's tokenizer recommends a package for a normalisation that it does not use here.
            warnings.filterwarnings("ignore", message=".*sacremoses")
            return AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{model} gives no tokenizer: {first_line(error)}. {_FIX}") from None


def vocabulary(tokenizer: Any) -> set[str]:
    """All tokens, and the language codes that M2M-100 keeps apart from its vocabulary."""
    return {*tokenizer.get_vocab(), *getattr(tokenizer, "lang_token_to_id", {})}


def content_hash(folder: Path) -> str:
    """A hash over the names and contents of all files of a folder."""
    # Names too: the same weights with another tokenizer file are another model.
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder)} {sha256(file)}\n".encode())
    return digest.hexdigest()[:16]


def longest_answer(tokens: int) -> int:
    """Tokens that the translation of `tokens` tokens may have: generous, but an end for a model in a loop.

    It rises in steps, so that lines of about one length share one bound and a batch.
    """
    return 32 * math.ceil((2 * tokens + 16) / 32)


def first_line(error: BaseException) -> str:
    """The first sentence of a library's message."""
    return reason(error).rstrip(".")


@dataclass(frozen=True, slots=True)
class Codes:
    """Codes for one language pair. All null for a model of one pair."""

    prefix: str | None = None
    """Token put before the source text."""
    source: str | None = None
    """Value of the tokenizer's `src_lang`."""
    forced: str | None = None
    """Token with which the translation must begin."""


def codes(vocabulary: Iterable[str], source: Language, target: Language, model: str) -> Codes:
    """The codes that `model` (named in messages) wants, read from its vocabulary.

    - NLLB: FLORES codes, `src_lang="eng_Latn"`, the translation begins with `por_Latn`;
    - M2M-100: `src_lang="en"`, the translation begins with `__pt__`;
    - mBART-50: `src_lang="en_XX"`, the translation begins with `pt_XX`;
    - MADLAD: the source begins with `<2pt>`;
    - Marian with several targets: the source begins with `>>por<<` or `>>pt<<`.

    Raises UserError where the model speaks many languages but not this one.
    """
    tokens = set(vocabulary)
    # From the most particular shape to the least: a FLORES code looks like nothing else.
    for pattern, read in ((_FLORES, _flores), (_M2M, _m2m), (_MBART, _mbart), (_MADLAD, _madlad)):
        known = {token for token in tokens if pattern.fullmatch(token)}
        # One alone may be a word of the vocabulary that looks like a code.
        if len(known) > 1:
            return read(known, source, target, model)
    known = {token for token in tokens if _MARIAN.fullmatch(token)}
    return Codes(prefix=_pick(known, _marian_names(target), target, model)) if known else Codes()


_FLORES = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
_M2M = re.compile(r"__[a-z]{2,3}__")
_MBART = re.compile(r"[a-z]{2}_[A-Z]{2}")
_MADLAD = re.compile(r"<2[a-z]{2,3}(_\w+)?>")
_MARIAN = re.compile(r">>.+<<")


def _flores(known: set[str], source: Language, target: Language, model: str) -> Codes:
    return Codes(
        source=_pick(known, [source.flores], source, model),
        forced=_pick(known, [target.flores], target, model),
    )


def _m2m(known: set[str], source: Language, target: Language, model: str) -> Codes:
    spoken = _pick(known, [f"__{source.m2m}__"], source, model)
    return Codes(source=spoken.strip("_"), forced=_pick(known, [f"__{target.m2m}__"], target, model))


def _mbart(known: set[str], source: Language, target: Language, model: str) -> Codes:
    here, there = (
        _pick(known, sorted(token for token in known if token[:2] == _primary(side)), side, model)
        for side in (source, target)
    )
    return Codes(source=here, forced=there)


def _madlad(known: set[str], source: Language, target: Language, model: str) -> Codes:
    names = [f"<2{name}>" for name in _spellings(target)]
    return Codes(prefix=_pick(known, names, target, model))


def _marian_names(target: Language) -> list[str]:
    found = [*_spellings(target), target.flores or ""]
    # OPUS models of several scripts and regions name the language plainly or with its script.
    return [f">>{name}<<" for name in dict.fromkeys(found) if name]


def _spellings(target: Language) -> list[str]:
    tags = [tag.replace("-", "_") for tag in (target.tag, target.row)]
    script = target.tag.split("-")[1:2]
    # Without a FLORES code for its script, the plain name would give sentences in another one (sr-Latn).
    if target.flores is None and script and len(script[0]) == 4:
        return [tags[0], tags[0].lower()]
    return [*tags, *map(str.lower, tags), _primary(target), target.iso3]


def _primary(side: Language) -> str:
    return side.tag.split("-")[0]


def _pick(known: set[str], names: Iterable[str | None], wanted: Language, model: str) -> str:
    for name in names:
        if name in known:
            return str(name)
    examples = ", ".join(sorted(known)[:12]) + (", …" if len(known) > 12 else "")
    raise UserError(
        f"The model {model} does not speak {wanted.name} ({wanted.tag}). It knows {examples}. "
        "Choose another model or language."
    )
