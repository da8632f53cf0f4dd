"""A frozen Hugging Face encoder with adapters for each language (DASD: AAAI 2025, arXiv 2412.13510).

Blocks of the encoder are followed by x + Up(ReLU((Down x) W)), where the matrix W is made from the caption:
a first pass, of the first two blocks, gives a semantic feature sr, which shall tell what the caption says,
and an agnostic one sa, which shall not. Texts in other languages, those of the source among them, pass the
encoder untouched, bit for bit.

T texts, L tokens, H width of the states, J joint width, R rank, P pieces with embeddings of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.errors import UserError
from dragoman.models.attention import masked_mean
from dragoman.models.layers import layers_of
from dragoman.models.text.contract import Material
from dragoman.models.text.huggingface import HuggingFaceText, HuggingFaceTextConfig

FIRST_PASS = 2
"""Blocks of the first pass."""


@dataclass(frozen=True, kw_only=True)
class AdaptersTextConfig(HuggingFaceTextConfig):
    """Choice of an encoder, which stays frozen, and of the adapters that learn."""

    by_language: ClassVar[bool] = True
    layers: str = "all"
    """Blocks that an adapter follows, as those that learn of a Hugging Face encoder: `all`, `none`, `last:N`,
    or `A-B`."""
    embeddings: bool = True
    """Give each language embeddings of its own for the pieces that its training captions hold; they begin as
    those of the encoder."""
    rank: int = 32
    """R."""
    conditioning: Literal["static", "dynamic", "shuffled"] = "static"
    """Origin of W: `static` learns one for each block and language; `dynamic` makes it from the caption, as
    the paper does; `shuffled`, a control, makes it in training from another caption of the step."""

    @classmethod
    def from_text(cls, text: str) -> AdaptersTextConfig | None:
        """Return the encoder that `adapters:PATH` names; None for any other text."""
        return cls(path=text.removeprefix("adapters:")) if text.startswith("adapters:") else None

    def on(self, encoder: HuggingFaceTextConfig) -> AdaptersTextConfig:
        """Return these adapters on an encoder that another run has, read as there."""
        own = ("layers", "embeddings", "rank", "conditioning", "lora", "lora_alpha", "lora_dropout", "states")
        read = {
            field.name: getattr(encoder, field.name) for field in fields(encoder) if field.name not in own
        }
        return replace(self, **read)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1:
            raise UserError(f"rank must be at least 1, got {self.rank}")
        for name, off in (("lora", 0), ("states", None)):
            if getattr(self, name) != off:
                raise UserError(
                    f"text.{name} is for layers that learn, and with adapters none does: "
                    f"--set text.{name}={str(off).lower()}"
                )


class Adapter(nn.Module):
    """x + Up(ReLU((Down x) W)) after one block. Up begins as 0, so that the block begins as it was."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, rank), nn.Linear(rank, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, states_TLH: Tensor, middle: Tensor) -> Tensor:
        """[T, L, H]; `middle` is W, [R, R], or of each text [T, R, R]."""
        found: Tensor = states_TLH + self.up(F.relu(self.down(states_TLH) @ middle))
        return found


class Language(nn.Module):
    """All that one language has for itself."""

    pieces: Tensor
    """[P] ids of the pieces that have embeddings of their own."""

    def __init__(self, width: int, rank: int, blocks: int, pieces: int, static: bool) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(Adapter(width, rank) for _ in range(blocks))
        # As a plain bottleneck begins.
        self.middle = nn.Parameter(torch.eye(rank).repeat(blocks, 1, 1)) if static else None
        self.register_buffer("pieces", torch.zeros(pieces, dtype=torch.long))
        self.table = nn.Parameter(torch.zeros(pieces, width))


class Conditioning(nn.Module):
    """From the states of the first pass to W of every block; shared by all languages."""

    def __init__(self, width: int, joint: int, rank: int, blocks: int, static: bool) -> None:
        super().__init__()
        self.rank = rank
        self.semantic_norm, self.agnostic_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.semantic = nn.Linear(width, joint, bias=False)
        self.mix = None if static else nn.Linear(joint + width, width)
        self.middles = nn.ModuleList(() if static else (nn.Linear(width, rank * rank) for _ in range(blocks)))

    def read(self, states_TLH: Tensor, mask_TL: Tensor) -> tuple[Tensor, Tensor]:
        """sr [T, J], of the last token, and sa [T, H], the mean over tokens."""
        rows_T = torch.arange(len(mask_TL), device=mask_TL.device)
        last_TH = states_TLH[rows_T, mask_TL.sum(1) - 1]
        semantic_TJ: Tensor = self.semantic(self.semantic_norm(last_TH))
        return semantic_TJ, masked_mean(self.agnostic_norm(states_TLH), mask_TL)

    def forward(self, semantic_TJ: Tensor, agnostic_TH: Tensor) -> list[Tensor]:
        """W of every block, each [T, R, R]."""
        assert self.mix is not None
        mixed_TH = quick_gelu(self.mix(torch.cat([semantic_TJ, agnostic_TH], dim=1)))
        return [make(mixed_TH).unflatten(1, (self.rank, self.rank)) for make in self.middles]


def quick_gelu(values: Tensor) -> Tensor:
    """x times the logistic function of 1.702 x, as in CLIP."""
    return values * torch.sigmoid(1.702 * values)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Pass:
    """Orders to the blocks of an encoder, in the pass that runs."""

    language: Language
    place: Tensor | None
    """[V] row of each piece in the language's table, -1 for those of the encoder."""
    middles: Mapping[int, Tensor] | None = None
    """W by the number of a block; None in the first pass, which ends early."""
    ends: int = 0


class _Ended(Exception):  # noqa: N818 - no error
    """The end of the first pass, with its states [T, L, H]."""


_RUNNING: ContextVar[_Pass | None] = ContextVar("_RUNNING", default=None)
"""The pass of this thread: others may ask the same encoder in another language."""


class AdaptedText(HuggingFaceText):
    """A Hugging Face encoder of which nothing learns, and adapters for each of some languages.

    The language of a text stands in its token ids: those of the language in place k of `adapted`, from 1, are
    k times the number of pieces higher.
    """

    settings: ClassVar[type[HuggingFaceTextConfig]] = AdaptersTextConfig
    config: AdaptersTextConfig

    def __init__(
        self,
        config: AdaptersTextConfig,
        trunk: Any,
        tokenizer: Any,
        joint: int = 0,
        languages: Mapping[str, int] | None = None,
    ) -> None:
        """`joint` is J; `languages` have as many pieces with embeddings of their own."""
        super().__init__(config, trunk, tokenizer, joint)
        self.joint = joint
        table: nn.Embedding = trunk.get_input_embeddings()
        self._vocabulary = table.num_embeddings
        static, blocks = config.conditioning == "static", len(self._chosen)
        self.conditioning = Conditioning(self.width, joint, config.rank, blocks, static)
        self.languages = nn.ModuleList()
        for lang, pieces in (languages or {}).items():
            self._append(lang, Language(self.width, config.rank, blocks, pieces, static))
        table.register_forward_hook(_embedded)
        for number, layer in enumerate(layers_of(trunk)[1]):
            layer.register_forward_hook(partial(_passed, number))

    @classmethod
    def fresh(cls, config: Any, material: Material) -> Self:
        found = super().fresh(config, material)
        for lang, texts in material.by_language().items():
            found.add(lang, texts)
        return found

    @classmethod
    def over(cls, encoder: HuggingFaceText, config: AdaptersTextConfig, joint: int) -> AdaptedText:
        """Put adapters, of no language yet, on an encoder that was trained; `joint` is J."""
        found = cls(config, encoder.trunk, encoder.tokenizer, joint)
        # Its weights are there already; those of a projection, and of standardised states, are not.
        found.load_state_dict(encoder.state_dict(), strict=False)
        return found

    def _learn(self) -> None:
        super()._learn()
        self.trunk.requires_grad_(False)
        if self.projection is not None:
            self.projection.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        # Frozen, dropout included: texts of the source language have the same vector in every step.
        self.trunk.eval()
        return self

    def add(self, lang: str, texts: Sequence[str]) -> Language:
        """Add a language that is read by adapters of its own, fresh ones, and return these."""
        config = self.config
        used = sorted(set(chain.from_iterable(self._token_ids(texts)))) if config.embeddings else []
        static = config.conditioning == "static"
        made = Language(self.width, config.rank, len(self._chosen), len(used), static)
        table: nn.Embedding = self.trunk.get_input_embeddings()
        made.pieces.copy_(torch.tensor(used, dtype=torch.long))
        with torch.no_grad():
            made.table.copy_(table.weight[made.pieces.to(table.weight.device)])
        self._append(lang, made.to(table.weight.device))
        return made

    def _append(self, lang: str, made: Language) -> None:
        self.adapted = (*self.adapted, lang)
        self.languages.append(made)

    def number_of(self, lang: str) -> int:
        """Place of a language among `adapted`, from 1, with or without its region; 0 where it is none."""
        for tag in (lang, lang.split("-")[0]):
            if tag in self.adapted:
                return self.adapted.index(tag) + 1
        return 0

    def prepare_in(self, texts: Sequence[str], languages: Sequence[str]) -> dict[str, Tensor]:
        found = self.prepare(texts)
        numbers_T = torch.tensor([self.number_of(lang) for lang in languages], dtype=torch.long)
        return found | {"input_ids": found["input_ids"] + self._vocabulary * numbers_T.unsqueeze(1)}

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        return self.read(embedded, mask)[0]

    def read(self, embedded_TL: Tensor, mask_TL: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Token states [T, L, H], and `semantic` sr [T, J] and `agnostic` sa [T, H], 0 of untouched texts,
        and in a finished model where W is a constant."""
        numbers_T, ids_TL = embedded_TL[:, 0] // self._vocabulary, embedded_TL % self._vocabulary
        present = torch.unique(numbers_T).tolist()
        parts, rows = [], []
        for number in present:
            rows.append((numbers_T == number).nonzero().squeeze(1))
            here = slice(None) if len(present) == 1 else rows[-1]
            parts.append(self._read_one(number, ids_TL[here], mask_TL[here]))
        back = torch.argsort(torch.cat(rows))
        states_TLH, semantic_TJ, agnostic_TH = (
            some[0] if len(some) == 1 else torch.cat(some)[back] for some in zip(*parts, strict=True)
        )
        return states_TLH, {"semantic": semantic_TJ, "agnostic": agnostic_TH}

    def _read_one(self, number: int, ids_TL: Tensor, mask_TL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States, sr and sa of texts in one language."""
        if not number:
            states_TLH = super().forward(ids_TL, mask_TL)
            none = states_TLH.new_zeros
            return states_TLH, none(len(ids_TL), self.joint), none(len(ids_TL), self.width)
        language = self.languages[number - 1]
        assert isinstance(language, Language)
        place_V = None
        if len(language.pieces):
            place_V = language.pieces.new_full((self._vocabulary,), -1)
            place_V[language.pieces] = torch.arange(len(language.pieces), device=place_V.device)
        if language.middle is not None and not self.training:
            # Only what learns reads the features of a text whose W is a constant.
            semantic_TJ = torch.zeros(len(ids_TL), self.joint, device=ids_TL.device)
            agnostic_TH = torch.zeros(len(ids_TL), self.width, device=ids_TL.device)
        else:
            ends = min(FIRST_PASS, len(layers_of(self.trunk)[1])) - 1
            with _running(_Pass(language=language, place=place_V, ends=ends)):
                first_TLH = self._until_it_ends(ids_TL, mask_TL)
            semantic_TJ, agnostic_TH = self.conditioning.read(first_TLH, mask_TL)
        if language.middle is not None:
            made = list(language.middle)
        else:
            made = self.conditioning(semantic_TJ, agnostic_TH)
            if self.config.conditioning == "shuffled" and self.training:
                made = [middle_TRR.roll(1, 0) for middle_TRR in made]
        middles = dict(zip(self._chosen, made, strict=True))
        with _running(_Pass(language=language, place=place_V, middles=middles)):
            states_TLH = super().forward(ids_TL, mask_TL)
        return states_TLH, semantic_TJ, agnostic_TH

    def _until_it_ends(self, ids_TL: Tensor, mask_TL: Tensor) -> Tensor:
        try:
            super().forward(ids_TL, mask_TL)
        except _Ended as ended:
            states_TLH: Tensor = ended.args[0]
            return states_TLH
        raise AssertionError("the blocks did not run")

    def _parts(self) -> dict[str, Any]:
        pieces = [len(one.pieces) for one in self.languages if isinstance(one, Language)]
        return {"joint": self.joint, "languages": dict(zip(self.adapted, pieces, strict=True))}


@contextmanager
def _running(what: _Pass) -> Iterator[None]:
    token = _RUNNING.set(what)
    try:
        yield
    finally:
        _RUNNING.reset(token)


def _embedded(module: nn.Module, given: tuple[Tensor, ...], found_TLH: Tensor) -> Tensor | None:
    """Take the embeddings of the language that is read, where it has some."""
    now = _RUNNING.get()
    if now is None or now.place is None:
        return None
    place_TL = now.place[given[0]]
    own_TLH = F.embedding(place_TL.clamp(min=0), now.language.table)
    return torch.where((place_TL >= 0).unsqueeze(2), own_TLH, found_TLH)


def _passed(number: int, block: nn.Module, given: tuple[Any, ...], found: Any) -> Any:
    """Let the adapter of the language that is read follow a block."""
    now = _RUNNING.get()
    if now is None:
        return None
    # Models differ in whether a block gives its states alone.
    states_TLH = found[0] if isinstance(found, tuple) else found
    if now.middles is None:
        if number == now.ends:
            raise _Ended(states_TLH)
        return None
    if number not in now.middles:
        return None
    adapter = now.language.adapters[list(now.middles).index(number)]
    states_TLH = adapter(states_TLH, now.middles[number])
    return (states_TLH, *found[1:]) if isinstance(found, tuple) else states_TLH


Config = AdaptersTextConfig
Encoder = AdaptedText
