"""Choices for a collection, which are told and checked before anything heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass, field

from dragoman.errors import UserError
from dragoman.languages import canonical_tag, language
from dragoman.translation.engine import engines_by_language

VISION = "google/siglip2-base-patch16-224"
"""Public dual encoder that reads many languages, taken where none is named."""


@dataclass(frozen=True, kw_only=True)
class MakeOptions:
    """Choices for a collection, of which only the languages must be made."""

    to: tuple[str, ...] = ()
    """Languages in which visitors ask, by commas: pt,es,sw."""
    lang: str | None = None
    """Language of captions whose file names none; by default it is recognised."""
    vision: str = VISION
    """Vision tower, or public model with both sides: a Hugging Face folder or hub id."""
    recipe: str | None = None
    """Recipe to learn by; by default glossed where the sentence encoder knows the captions."""
    settings: dict[str, str] = field(default_factory=dict)
    """Change a setting of the recipe; repeatable."""
    engines: tuple[str, ...] = ()
    """Translation engine of a language, as in pt=apertium:eng-spa|es-pt. May be repeated."""
    exclude: tuple[str, ...] = ()
    """Leave out files and folders that match these patterns."""
    corrections: tuple[str, ...] = ()
    """Take in translations that people corrected: a sheet, or JSON Lines. May be repeated."""
    device: str = "auto"
    """cpu, cuda, or auto."""

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "to", tuple(canonical_tag(one) for one in self.to))
            if self.lang is not None:
                object.__setattr__(self, "lang", canonical_tag(self.lang))
        except ValueError as error:
            raise UserError(str(error)) from None
        for tag in self.to:
            language(tag)
        for lang in self.engine_of:
            if lang not in self.to:
                raise UserError(f"--engine names {lang!r}, which is none of --to {','.join(self.to)}.")

    @property
    def engine_of(self) -> dict[str, str]:
        """Engines by the languages that they are for."""
        return engines_by_language(self.engines)
