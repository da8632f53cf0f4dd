"""A text trunk from any Hugging Face encoder: BERT, XLM-R, CLIP's text half, T5's encoder, …

T texts, L tokens of the longest text in the batch, H width of the states.
"""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from dragoman.errors import UserError
from dragoman.folders import write_json
from dragoman.grouping import by_length
from dragoman.models.attention import TOKENS_PER_BATCH, masked_mean
from dragoman.models.hub import (
    config_in,
    loading,
    longest_input,
    model_folder,
    pretrained,
    reads,
    require_trained,
    tokenizer_in,
)
from dragoman.models.layers import layers_of, learn_low_rank, merged, require_cut, run_from
from dragoman.models.sentences import GOLDEN_TEXTS, kind_of
from dragoman.models.text import TextConfig, pad
from dragoman.models.text.contract import Material, TextEncoder
from dragoman.models.text.spelling import BLANKS
from dragoman.models.text.vectors import KeptStates
from dragoman.texts import legible

log = logging.getLogger(__name__)

ASSETS = "hf_text"
_CONFIG = "dragoman.json"
_FOLDS = ("lowercase", "strip_accents", "strip_punctuation")
_NEW = ("prefix", "standardise", "own")
_PARTS = "parts"
"""Beside the settings of a stored encoder, what else its weights are shaped by."""
_OF_TRAINING = ("states", "lora", "lora_alpha", "lora_dropout")
"""Settings that a finished model does not know of."""
STANDARD = 4096
"""About so many texts are measured to standardise states."""
_LAYERS = re.compile(r"all|none|last:[1-9]\d*|(\d+)-(\d+)")


@dataclass(frozen=True, kw_only=True)
class HuggingFaceTextConfig(TextConfig):
    """Choice of an encoder, and of the part that learns; everything else stays frozen."""

    path: str
    """A local folder or a hub id; the weights must be safetensors."""
    layers: str = "last:4"
    """`all`, `none`, `last:N` (at most N), or `A-B`: layers by index from 0, both ends included. A norm after
    the last layer learns together with that layer."""
    embeddings: bool = False
    """Let word, position and type embeddings learn as well: in multilingual models most of the weights."""
    max_length: int = 64
    """Tokens of a text, special ones included; longer texts are cut. The model's own limit also holds."""
    lowercase: bool = False
    """Throw case away before the tokenizer cuts; only for comparison with code that does, like the two that
    follow."""
    strip_accents: bool = False
    """Throw accents away, and all other marks that stand over or under letters."""
    strip_punctuation: bool = False
    """Read ASCII punctuation as blanks."""
    prefix: str = ""
    """Stands before every text, as `query: ` of e5."""
    states: str | None = None
    """Name of a set of the states that the first trained layer reads (`dragoman features --texts
    --below-last`): the layers below it are then not run in training, and the saved model holds all."""
    lora: int = 0
    """Rank r of differences W x + (lora_alpha / r) B A x that learn in the queries and values of `layers`, in
    the place of these layers (LoRA). The saved model holds W + (lora_alpha / r) B A."""
    lora_alpha: float = 16.0
    lora_dropout: float = 0.05
    """Share of the components of x that B A does not see in a step."""
    standardise: bool = False
    """Give the states the mean and the deviation that make those of the vectors of training texts 0 and 1, in
    each component, before training; for a head directly on them."""
    own: bool = False
    """With the folder of a CLIP, the vector of a text that CLIP itself gives: the state of its last token
    through CLIP's projection, which learns together with the last layer. For dual.text_head=none."""

    @property
    def max_tokens(self) -> int:
        return int(self.max_length)

    @classmethod
    def from_text(cls, text: str) -> HuggingFaceTextConfig | None:
        """Return the encoder that `hf:PATH` names; None for any other text."""
        return cls(path=text.removeprefix("hf:")) if text.startswith("hf:") else None

    def __post_init__(self) -> None:
        found = _LAYERS.fullmatch(self.layers)
        if not found or (found[1] and int(found[1]) > int(found[2])):
            raise UserError(f"layers must be all, none, last:N or A-B (such as 8-11), got {self.layers!r}")
        if self.max_length < 3:
            raise UserError(f"max_length must be at least 3 tokens, got {self.max_length}")
        if self.lora < 0 or not 0 <= self.lora_dropout < 1:
            raise UserError(
                "lora must be 0 or a rank, and lora_dropout lie in [0, 1), got "
                f"{self.lora} and {self.lora_dropout}"
            )
        if self.own and self.standardise:
            raise UserError(
                "The own vector of a text stays as it is: --set text.standardise=false, or "
                "--set text.own=false"
            )
        if self.states is not None and self.embeddings:
            raise UserError(
                "Kept states are those above the embeddings, which then cannot learn: "
                "--set text.embeddings=false, or --set text.states=none"
            )


class HuggingFaceText(TextEncoder):
    """A Hugging Face encoder without its pooler. Frozen parameters have `requires_grad = False`.

    Token states do not depend on batch-mates: padding is on the right, with the pad id that position ids are
    computed from, and masked.
    """

    settings: ClassVar[type[HuggingFaceTextConfig]] = HuggingFaceTextConfig
    config: HuggingFaceTextConfig
    projection: nn.Linear | None
    """From the state of the last token to the own vector, where that is read."""
    state_mean: Tensor
    state_scale: Tensor
    max_length: int
    """Tokens of a text at most, special ones included, by the settings and by the model's own limit."""
    pretrained = True

    def __init__(self, config: Any, trunk: Any, tokenizer: Any, joint: int = 0) -> None:
        """`joint` is J, the width of the joint space; here it matters where the own vector is read."""
        super().__init__()
        self.config = config
        self.trunk: Any = trunk
        self.tokenizer = tokenizer
        _fold(tokenizer, config)
        self.width = int(trunk.config.hidden_size)
        self.max_length = min(
            config.max_length, tokenizer.model_max_length, longest_input(trunk.config, otherwise=1 << 20)
        )
        self.end_id = int(tokenizer.eos_token_id or tokenizer.sep_token_id or 0)
        """Token that an empty text is read as, where the tokenizer adds no special tokens."""
        known = tokenizer.pad_token_id
        self.pad_id = self.end_id if known is None else int(known)
        self.projection = nn.Linear(self.width, joint, bias=False) if config.own else None
        self._learn()
        self._kept: KeptStates | None = None
        if config.standardise:
            self.register_buffer("state_mean", torch.zeros(self.width))
            self.register_buffer("state_scale", torch.ones(self.width))

    @property
    def max_tokens(self) -> int:
        return int(self.max_length)

    @property
    def _chosen(self) -> range:
        """The layers that learn."""
        return _chosen_layers(self.config.layers, len(layers_of(self.trunk)[1]))

    @property
    def _first(self) -> int:
        """The first layer that learns."""
        return min(self._chosen, default=len(layers_of(self.trunk)[1]))

    @classmethod
    def fresh(cls, config: Any, material: Material) -> Self:
        found = cls.load(config, material.joint)
        if config.states is not None:
            found.read_from(material.states(config.states))
        if config.standardise:
            found.fit_states(sorted(set(material.texts())))
        return found

    @classmethod
    def load(cls, config: HuggingFaceTextConfig, joint: int = 0) -> Self:
        """Load pretrained weights and tokenizer. Raises UserError for a folder of another kind."""
        folder = model_folder(config.path)
        with loading(folder, "text encoder"):
            trunk, tokenizer = _load_trunk(folder), tokenizer_in(folder)
            projection_JH = _projection_in(folder) if config.own else None
        for change in folded(tokenizer):
            log.warning("The tokenizer of %s %s; texts that differ in nothing else are one.", folder, change)
        found = cls(config, trunk, tokenizer, joint if projection_JH is None else len(projection_JH))
        if found.projection is not None and projection_JH is not None:
            found.projection.load_state_dict({"weight": projection_JH})
        return found

    def learn_on(self, config: HuggingFaceTextConfig) -> None:
        # No states: those of texts in a further language are hardly there.
        self.config = replace(config, states=None)
        self._learn()

    def _learn(self) -> None:
        """Set `requires_grad` of every parameter."""
        _train_only(self.trunk, self.config)
        if self.projection is not None:
            last = len(layers_of(self.trunk)[1]) - 1
            self.projection.requires_grad_(last in self._chosen and not self.config.lora)

    def read_from(self, kept: KeptStates) -> None:
        """Begin above kept states, wherever a text has some. Raises UserError where they are of another
        encoder, reading or layer than this one's."""
        config, reading = self.config, kept.made_by["reading"]
        fixes = {
            f"another encoder, {kept.made_by['path']}": kept.made_by["fingerprint"] == _fingerprint(config),
            f"text.prefix={reading['prefix']!r}": reading["prefix"] == config.prefix,
            "texts with other letters": not reading["lowercase"]
            and not any(getattr(config, name) for name in _FOLDS),
            f"layers from {kept.first} on": self._first >= kept.first,
        }
        if wrong := [said for said, holds in fixes.items() if not holds]:
            raise UserError(
                f"The states {config.states!r} are those of {', '.join(wrong)}, not of text.path="
                f"{config.path}, text.prefix={config.prefix!r}, text.layers={config.layers}. Change these "
                "settings, or make others: dragoman features CORPUS --texts --below-last N"
            )
        golden = self.prepare(GOLDEN_TEXTS)
        require_cut(self.trunk, kept.first, golden["input_ids"], golden["mask"])
        self._kept = kept
        self.train(self.training)

    @torch.no_grad()
    def fit_states(self, texts: Sequence[str]) -> None:
        """Standardise by the vectors of texts, or of some at equal distances."""
        chosen = texts[:: max(1, len(texts) // STANDARD)]
        training, vectors = self.training, []
        self.eval()
        for rows in by_length(self.lengths(chosen), tokens=TOKENS_PER_BATCH):
            inputs = self.prepare([chosen[row] for row in rows])
            vectors.append(masked_mean(self(self.embed(inputs), inputs["mask"]), inputs["mask"]))
        self.train(training)
        vectors_TH = torch.cat(vectors).double()
        self.state_mean.copy_(vectors_TH.mean(0))
        # A constant component has deviation 0, and its rounding must not become a signal.
        self.state_scale.copy_(1 / vectors_TH.std(0, correction=0).clamp(min=1e-4))

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self._kept is not None:
            # Kept states were made without dropout; so is the rest of what does not learn.
            self.trunk.eval()
            for layer in layers_of(self.trunk)[1][self._first :]:
                layer.train(mode)
        return self

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self._token_ids(texts)]

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return reads(self.tokenizer, [legible(text) for text in texts])

    def prepare(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """`input_ids` and `mask`, both [T, L], and where every text has kept states `states` [T, L, H].

        In training, raises UserError that names the first text without.
        """
        ids, mask = pad(self._token_ids(texts), self.pad_id)
        found = {"input_ids": torch.from_numpy(ids), "mask": torch.from_numpy(mask)}
        if self._kept is None or not texts:
            return found
        # Of a text that was cut elsewhere, every state is another.
        kept = [
            one if one is not None and len(one) == length else None
            for one, length in zip(self._kept.states(texts), mask.sum(1), strict=True)
        ]
        held = [one for one in kept if one is not None]
        if len(held) == len(kept):
            states = np.zeros((*mask.shape, self.width), np.float16)
            states[mask] = np.concatenate(held)
            found["states"] = torch.from_numpy(states)
        elif self.training:
            first = next(text for text, one in zip(texts, kept, strict=True) if one is None)
            raise UserError(
                f"{self.config.states} has no states for {len(texts) - len(held)} of {len(texts)} texts of a "
                f"step, the first {first!r}. Make them: dragoman features CORPUS --texts --below-last N. "
                "Texts that change in training have none (--set word_dropout=0), nor have those of more "
                f"than {self.max_length} tokens (--set text.max_length=N)."
            )
        return found

    def embed(self, inputs: dict[str, Tensor]) -> Tensor:
        return inputs.get("states", inputs["input_ids"])

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        if self._kept is not None and embedded.is_floating_point():
            states_TLH = run_from(self.trunk, self._kept.first, embedded.float(), mask)
        else:
            states_TLH = self.trunk(input_ids=embedded, attention_mask=mask.long()).last_hidden_state
        return (states_TLH - self.state_mean) * self.state_scale if self.config.standardise else states_TLH

    @property
    def own_width(self) -> int:
        """J of the own vectors; 0 where they are not read."""
        return 0 if self.projection is None else self.projection.out_features

    def own_vectors(self, states_TLH: Tensor, mask_TL: Tensor) -> Tensor:
        """[T, J] the vectors that CLIP itself gives, of any length."""
        assert self.projection is not None
        rows_T = torch.arange(len(mask_TL), device=mask_TL.device)
        found: Tensor = self.projection(states_TLH[rows_T, mask_TL.sum(1) - 1])
        return found

    def finished(self) -> dict[str, Tensor]:
        return merged(self)

    def labels(self, inputs: dict[str, Tensor], limit: int) -> Tensor:
        """Ids of tokens; every token of the vocabulary can be predicted but the special ones."""
        ids_TL = inputs["input_ids"]
        special = torch.tensor(self.tokenizer.all_special_ids, device=ids_TL.device)
        return ids_TL.masked_fill(torch.isin(ids_TL, special) | ~inputs["mask"], -1)

    def label_table(self, limit: int) -> Tensor:
        table_VW: Tensor = self.trunk.get_input_embeddings().weight
        return table_VW

    def corrupt(self, inputs: dict[str, Tensor], hidden_TL: Tensor, swapped_TL: Tensor) -> dict[str, Tensor]:
        """Hide and swap tokens; a tokenizer without a mask token hides behind its unknown token."""
        tokenizer = self.tokenizer
        mask_id = tokenizer.unk_token_id if tokenizer.mask_token_id is None else tokenizer.mask_token_id
        if mask_id is None:
            raise UserError(
                f"The tokenizer of {self.config.path} has neither a mask nor an unknown token to hide words "
                "behind. Train without: --set loss.cmlm_weight=0"
            )
        special = set(tokenizer.all_special_ids)
        # len() counts added tokens too, `vocab_size` does not.
        others = torch.tensor([one for one in range(len(tokenizer)) if one not in special])
        ids_TL = inputs["input_ids"].masked_fill(hidden_TL, mask_id)
        drawn = others[torch.randint(len(others), (int(swapped_TL.sum()),))]
        ids_TL[swapped_TL] = drawn.to(ids_TL.device)
        return {"input_ids": ids_TL, "mask": inputs["mask"]}

    def save_assets(self, folder: Path) -> None:
        """Write `folder/hf_text/`: tokenizer, the trunk's configuration, and this encoder's own."""
        assets = folder / ASSETS
        self.trunk.config.save_pretrained(assets)
        self.tokenizer.save_pretrained(assets)
        # Older versions, and the name of a model, know nothing of what is not thrown away.
        told = {name: value for name, value in asdict(self.config).items() if name not in _OF_TRAINING}
        stored = {name: value for name, value in told.items() if value or name not in (*_FOLDS, *_NEW)}
        parts = self._parts()
        write_json(assets / _CONFIG, stored | ({_PARTS: parts} if parts else {}))

    def _parts(self) -> dict[str, Any]:
        """Sizes of the weights that neither the settings nor the trunk tell: arguments of the constructor."""
        return {"joint": self.own_width} if self.projection is not None else {}

    @classmethod
    def from_assets(cls, folder: Path) -> Self:
        """The module with random weights, from what `save_assets` wrote; the original path is not needed."""
        assets = folder / ASSETS
        if not (assets / _CONFIG).is_file():
            raise UserError(
                f"{assets} has no {_CONFIG}: the model folder is incomplete. Train or copy it anew."
            )
        told = json.loads((assets / _CONFIG).read_text(encoding="utf-8"))
        parts = told.pop(_PARTS, {})
        config = cls.settings(**told)
        with loading(assets, "text encoder"):
            trunk_config = config_in(assets)
            trunk = _trunk_of(_encoder_class(assets, trunk_config)(trunk_config))
            return cls(config, trunk, tokenizer_in(assets), **parts)

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        # The same options in every call, and padding done elsewhere: fast tokenizers store the options, and
        # changing them while another thread tokenizes fails.
        given = [self.config.prefix + legible(text) for text in texts]
        rows = self.tokenizer(given, truncation=True, max_length=self.max_length)["input_ids"]
        # Tokenizers without special tokens give nothing for an empty text.
        return [list(ids) or [self.end_id] for ids in rows]


def _fold(tokenizer: Any, config: HuggingFaceTextConfig) -> None:
    """Let a tokenizer throw away what the settings say, where it does not yet.

    In the tokenizer and not before it: so an export, which holds a copy, reads texts in the same way.
    """
    wanted = [name for name in _FOLDS if getattr(config, name)]
    if not wanted:
        return
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UserError(
            f"The tokenizer of {config.path} has no fast form (tokenizer.json), which "
            f"text.{wanted[0]} needs: --set text.{wanted[0]}=false"
        )
    from tokenizers import Regex, normalizers

    own = backend.normalizer
    seen = "É ," if own is None else unicodedata.normalize("NFC", own.normalize_str("É ,"))
    found: list[Any] = []
    if config.lowercase and seen != seen.lower():
        found.append(normalizers.Lowercase())
    if config.strip_accents and "é" in seen.lower():
        # Composed again: most vocabularies hold letters whole, such as those of Korean.
        found += [normalizers.NFD(), normalizers.StripAccents(), normalizers.NFC()]
    if config.strip_punctuation and "," in seen:
        signs = re.escape("".join(map(chr, BLANKS)))
        found += [normalizers.Replace(Regex(f"[{signs}]"), " "), normalizers.Replace(Regex(" {2,}"), " ")]
    if found:
        backend.normalizer = normalizers.Sequence(found if own is None else [*found, own])


def folded(tokenizer: Any) -> list[str]:
    """List what a tokenizer does to spelling: nothing, "lower-cases", "strips accents", or both."""
    # Tokenizers in Python have no backend, and some of Rust have no normalizer.
    normalizer = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
    if normalizer is None:
        return ["lower-cases"] if getattr(tokenizer, "do_lower_case", False) else []
    case = unicodedata.normalize("NFC", normalizer.normalize_str("B"))
    accent = unicodedata.normalize("NFC", normalizer.normalize_str("é"))
    return [
        change
        for change, found in (("lower-cases", "b" in case), ("strips accents", "é" not in accent))
        if found
    ]


def _train_only(trunk: nn.Module, config: HuggingFaceTextConfig) -> None:
    """Set `requires_grad` of every parameter of the trunk."""
    prefix, layers = layers_of(trunk)
    count = len(layers)
    chosen = _chosen_layers(config.layers, count)
    for name, parameter in trunk.named_parameters():
        if name.startswith(prefix + "."):
            trained = int(name[len(prefix) + 1 :].split(".")[0]) in chosen and not config.lora
        elif name.startswith(("pooler.", "head.")):
            trained = False  # never called: only token states are read
        elif "embed" in name:
            trained = config.embeddings
        else:
            trained = count - 1 in chosen and not config.lora
        parameter.requires_grad_(trained)
    if config.lora:
        learn_low_rank([layers[row] for row in chosen], config.lora, config.lora_alpha, config.lora_dropout)


def _chosen_layers(layers: str, count: int) -> range:
    if layers == "none":
        return range(0)
    if layers == "all":
        return range(count)
    if layers.startswith("last:"):
        return range(max(0, count - int(layers.removeprefix("last:"))), count)
    first, last = (int(end) for end in layers.split("-"))
    if last >= count:
        raise UserError(f"layers {layers!r} were asked for, but the encoder has {count}: 0-{count - 1}.")
    return range(first, last + 1)


def _fingerprint(config: HuggingFaceTextConfig) -> str | None:
    folder = model_folder(config.path)
    kind = kind_of(folder)
    return None if kind is None else str(kind.fingerprint(folder))


def _load_trunk(folder: Path) -> nn.Module:
    model, missing = pretrained(_encoder_class(folder, config_in(folder)), folder)
    untrained = [name for name in missing if "pooler" not in name]
    if untrained:
        raise UserError(
            f"The weights of {folder} lack {len(untrained)} parameters of its text encoder, such as "
            f"{untrained[0]}. Download the model again."
        )
    return _trunk_of(model)


def _projection_in(folder: Path) -> Tensor:
    """[J, H] CLIP's projection of texts. Raises UserError for any other folder."""
    import transformers

    kind = config_in(folder).model_type
    if kind != "clip":
        raise UserError(
            f"{folder} holds a {kind} model, but text.own reads the own vectors of CLIP. Train a head on it: "
            "--set text.own=false --set dual.text_head=linear"
        )
    model, missing = pretrained(transformers.AutoModel, folder)
    require_trained(folder, [name for name in missing if name == "text_projection.weight"])
    projection_JH: Tensor = model.text_projection.weight.detach()
    return projection_JH


def _encoder_class(folder: Path, config: Any) -> Any:
    """The class of the text half, without a decoder."""
    import transformers

    kind = type(getattr(config, "text_config", None) or config)
    for auto in (transformers.AutoModelForTextEncoding, transformers.AutoModel):
        if kind in auto._model_mapping:
            found = auto._model_mapping[kind]
            break
    else:
        raise UserError(f"{folder} holds a {config.model_type} model, of which no text encoder is known.")
    decodes = config.is_encoder_decoder and not found.__name__.endswith("EncoderModel")
    if decodes or found.main_input_name != "input_ids":
        raise UserError(
            f"{folder} holds a {config.model_type} model, which is no text encoder. "
            "Give one such as xlm-roberta-base, a CLIP model, or an mT5 model."
        )
    return found


def _trunk_of(model: Any) -> nn.Module:
    # Never called, and its weights are missing as often as not.
    if hasattr(model, "pooler"):
        model.pooler = None
    # T5 keeps its word embeddings under two names; safetensors refuse tensors that share memory.
    trunk: nn.Module = model.encoder if hasattr(model, "shared") else model
    return trunk


Config = HuggingFaceTextConfig
Encoder = HuggingFaceText
