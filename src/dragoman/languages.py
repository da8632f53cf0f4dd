"""Language tags as BCP 47 writes them."""

from __future__ import annotations

import re
from functools import lru_cache

# The library langcodes does not serve: it changes languages (iw to he, sh to sr-Latn), drops scripts, and
# takes en_US without a word; a corpus keeps the tag that its captions came with.
# RFC 5646, section 2.1, without grandfathered and purely private tags, and without the language subtags of
# four to eight letters: none was ever registered, and "english" would pass as one.
_TAG = re.compile(
    r"(?P<language>[a-z]{2,3}(-[a-z]{3}){0,3})"
    r"(-(?P<script>[a-z]{4}))?"
    r"(-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<rest>(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(-[a-wyz0-9](-[a-z0-9]{2,8})+)*(-x(-[a-z0-9]{1,8})+)?)",
    re.ASCII | re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def canonical_tag(tag: str) -> str:
    """Return the tag in its usual case: `PT-br` gives `pt-BR`, `zh-hant` gives `zh-Hant`.

    Raises ValueError where it has not the shape of a BCP 47 tag, with a better spelling where one is plain.
    """
    match = _TAG.fullmatch(tag)
    if match is None:
        better = tag.replace("_", "-").strip()
        hint = f" Write {canonical_tag(better)!r}." if better != tag and _TAG.fullmatch(better) else ""
        raise ValueError(
            f"lang is {tag!r}, but a BCP 47 tag such as 'en', 'pt-BR' or 'zh-Hant' was expected.{hint}"
        )
    script, region = match["script"], match["region"]
    return (
        match["language"].lower()
        + (f"-{script.title()}" if script else "")
        + (f"-{region.upper()}" if region else "")
        + match["rest"].lower()
    )
