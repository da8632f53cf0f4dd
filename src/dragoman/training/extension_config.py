"""Settings of a run that adds languages to a finished one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dragoman.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ExtensionConfig:
    """How a language joins a model whose image side stays as it is."""

    added: tuple[str, ...]
    """Languages that are learned; the model that the run starts from knows the others."""
    learn: Literal["vocabulary", "text"] = "vocabulary"
    """`vocabulary`: word pieces that the model did not know, and nothing else. `text`: the whole text side,
    with captions of the known languages rehearsed."""
    teach_weight: float = 1.0
    """Of the squared distance between a caption of an added language and the starting model's vector of its
    source caption."""
    keep_weight: float = 1.0
    """Of the squared distance between a caption of a known language and the starting model's vector of it;
    only where the whole text side learns."""

    def __post_init__(self) -> None:
        for name in ("teach_weight", "keep_weight"):
            if not getattr(self, name) >= 0:
                raise UserError(f"extension.{name} must be 0 or more, got {getattr(self, name)}")
