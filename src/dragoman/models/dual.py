"""The dual encoder: texts and frozen vision vectors into one joint space of unit vectors.

Text branch and teacher follow NRCCR (arXiv 2208.12526, section 3.2): trunk, token projection, positions,
shared attention, masked mean, head. T texts, L tokens, H hidden width, N pairs, B items, R regions, F frames,
D width of the vision vectors, J joint width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.errors import UserError
from dragoman.grouping import unique
from dragoman.models.attention import (
    TOKENS_PER_BATCH,
    SharedAttention,
    masked_mean,
    projection,
    run_by_length,
)
from dragoman.models.fusion import Fusion, FusionConfig, WordHead
from dragoman.models.hubness import MORE, Hubness
from dragoman.models.slots import Met, SlotConfig, SlotReader
from dragoman.models.temporal import FrameEncoder, VideoConfig, present
from dragoman.models.text.adapters import AdaptedText
from dragoman.models.text.contract import TextEncoder
from dragoman.models.text.frozen import FrozenText
from dragoman.models.text.glossed import GlossedText
from dragoman.models.text.huggingface import HuggingFaceText
from dragoman.models.text.vectors import FrozenVectors


@dataclass(frozen=True, kw_only=True)
class DualConfig:
    """Shape of both branches; the trunk of the text branch is configured apart."""

    joint: int = 512
    """J, width of the joint space."""
    hidden: int = 256
    """H of the token projection and the shared attention; a multiple of `heads`."""
    heads: int = 4
    key_width: int = 256
    """Width of queries and keys over all heads."""
    positions: int = 250
    position_scale: float = 0.02
    """Deviation of the position table before training; 1 in the released NRCCR code."""
    dropout: float = 0.1
    text_head: Literal["attention", "linear", "mlp", "residual", "projector", "none"] = "attention"
    """Way from the trunk's states to the joint space: through the shared attention, or directly from their
    mean, as a sentence encoder is used: by a linear map, by two with a ReLU between them, or by both (their
    sum). `projector` is `mlp` with twice the width of its input inside, and BatchNorm before the ReLU. `none`
    takes the own vectors of CLIP's text half (`text.own`), J wide."""
    sentence_head: Literal["linear", "mlp", "residual"] = "mlp"
    """Head of the sentence side, where one stands beside the words."""
    word_weight: float = 0.6
    """Weight of the word side beside a sentence side, times the square of the share of known words."""
    hubness: float = 0.0
    """Part of the nearness of a text or an image to all training images or captions that is taken from its
    scores (CSLS), from 0 to 1; it adds five components to the vectors."""
    hubness_neighbours: int = 10
    """Nearest ones that this nearness is the mean cosine of."""
    head_dropout: float = 0.0
    image_head: Literal["linear", "mlp", "released", "projector", "matrix", "none"] = "linear"
    """`mlp` has a hidden ReLU layer of width 2 J, `released` one as wide as the vision vectors, as the NRCCR
    code has for images, but not for videos, `projector` one twice as wide as they are, with BatchNorm.
    `matrix` is `linear` without a bias. `none` keeps the space of the vision vectors: J is then their width,
    and an index stays valid."""
    image_unit: bool = False
    """Read vision vectors at unit length, in the place of standardising them."""
    image_dropout: float = 0.2
    pool: Literal["masked", "all"] = "masked"
    """`all` counts padding, as the released NRCCR code does."""
    teacher_pool: Literal["cat", "cross_only"] = "cat"
    released_scale: bool = False
    """Divide attention logits as the released code does (`attention.py`)."""
    released_padding: bool = False
    """Let padded rows of a text attend to everything, padding included, as the released code does; they count
    with `pool=all`."""
    head_batch_norm: bool = False
    """BatchNorm in the heads, as in the released code; it makes a vector depend on its batch in training."""

    def __post_init__(self) -> None:
        for name in ("joint", "hidden", "heads", "key_width", "positions", "hubness_neighbours"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.hubness <= 1:
            raise UserError(f"hubness must lie in [0, 1], got {self.hubness}")
        if self.hubness and self.image_head == "none":
            raise UserError(
                "dual.image_head=none keeps the space of the vision vectors, which dual.hubness leaves: "
                "--set dual.hubness=0"
            )
        for name in ("word_weight", "position_scale"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} must be 0 or more, got {getattr(self, name)}")
        for name in ("dropout", "head_dropout", "image_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if self.hidden % self.heads or self.key_width % self.heads:
            raise UserError(
                f"hidden {self.hidden} and key_width {self.key_width} must be multiples of heads {self.heads}"
            )

    @property
    def depends_on_batch(self) -> bool:
        """True where the vector of a text or an image depends in training on those encoded beside it, as in
        the released code."""
        norms = self.head_batch_norm or "projector" in (self.text_head, self.image_head)
        return norms or self.pool == "all"


@dataclass(frozen=True, kw_only=True)
class TextViews:
    """Vectors and states of one pass over texts."""

    vector: Tensor
    """[T, J], unit length."""
    pooled: Tensor
    """[T, H'] masked mean of the trunk's states, what a language discriminator reads."""
    raw: Tensor | None = None
    """[T, J] the vectors before they were scaled to unit length; None for sums of two sides."""
    semantic: Tensor | None = None
    """[T, J] the part of what adapters are conditioned on that shall tell what a text says, else 0."""
    agnostic: Tensor | None = None
    """[T, H'] the part that shall tell nothing of it."""
    projected: Tensor | None = None
    """[T, L, H] states before the shared attention, what the teacher reads."""
    trunk: Tensor | None = None
    """[T, L, H'] states of the trunk."""
    states: Tensor | None = None
    """[T, L, H] states after the shared attention, what the fusion encoder reads."""
    mask: Tensor | None = None
    """[T, L] true at real tokens."""
    sentence: Tensor | None = None
    """[T, J] the sentence side alone."""
    words: Tensor | None = None
    """[T, J] the word side alone."""
    weights: Tensor | None = None
    """[T, 2] weights of sentence and word side in the vector."""

    def __getitem__(self, rows: Tensor) -> TextViews:
        """The views of some texts; rows may repeat."""

        def take(value: Tensor | None) -> Tensor | None:
            return None if value is None else value[rows]

        return TextViews(
            vector=self.vector[rows],
            pooled=self.pooled[rows],
            raw=take(self.raw),
            semantic=take(self.semantic),
            agnostic=take(self.agnostic),
            projected=take(self.projected),
            trunk=take(self.trunk),
            states=take(self.states),
            mask=take(self.mask),
            sentence=take(self.sentence),
            words=take(self.words),
            weights=take(self.weights),
        )


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm over the rows of a batch; a single one, which has no deviation, passes as in eval mode."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or len(input) > 1:
            return super().forward(input)
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class Head(nn.Module):
    """Linear (Xavier, zero bias), optional BatchNorm, dropout, unit length."""

    def __init__(self, width: int, joint: int, config: DualConfig, *, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(width, joint, bias=bias)
        nn.init.xavier_uniform_(self.linear.weight)
        if bias:
            nn.init.zeros_(self.linear.bias)
        self.norm = BatchNorm(joint) if config.head_batch_norm else nn.Identity()
        self.dropout = nn.Dropout(config.head_dropout)

    def raw(self, states_NH: Tensor) -> Tensor:
        """[N, J] vectors of any length."""
        found: Tensor = self.dropout(self.norm(self.linear(states_NH)))
        return found

    def forward(self, states_NH: Tensor) -> Tensor:
        return F.normalize(self.raw(states_NH), dim=-1)


class DirectHead(nn.Module):
    """A head that stands directly on the vector of a text: linear, mlp, residual or projector."""

    def __init__(self, kind: str, width: int, joint: int, config: DualConfig) -> None:
        super().__init__()
        self.dropout, self.hidden, read = nn.Dropout(config.dropout), None, width
        if kind == "projector":
            self.hidden, read = normed_layer(width), 2 * width
        elif kind != "linear":
            self.hidden = nn.Sequential(nn.Linear(width, 2 * joint), nn.ReLU(), nn.Dropout(config.dropout))
            read = 2 * joint
        # Of both side by side, one matrix makes the sum of a linear map and an MLP.
        self.residual = kind == "residual"
        self.head = Head(read + width * self.residual, joint, config)

    def raw(self, vectors_NH: Tensor) -> Tensor:
        """[N, J] vectors of any length."""
        seen_NH = read_NH = self.dropout(vectors_NH)
        if self.hidden is not None:
            read_NH = self.hidden(seen_NH)
        if self.residual:
            read_NH = torch.cat([seen_NH, read_NH], dim=1)
        return self.head.raw(read_NH)

    def forward(self, vectors_NH: Tensor) -> Tensor:
        return F.normalize(self.raw(vectors_NH), dim=-1)


def normed_layer(width: int) -> nn.Sequential:
    """Make the hidden layer of a `projector` (uCLIP, arXiv 2511.13036)."""
    return nn.Sequential(nn.Linear(width, 2 * width), BatchNorm(2 * width), nn.ReLU())


class SentenceSide(nn.Module):
    """The vector of a frozen sentence encoder, through a direct head."""

    def __init__(self, trunk: FrozenText, joint: int, config: DualConfig) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = DirectHead(config.sentence_head, trunk.width, joint, config)

    def read(self, vectors_TH: Tensor, mask_T1: Tensor) -> Tensor:
        """[T, H] what the head reads of vectors as they are stored."""
        found: Tensor = self.trunk(vectors_TH.unsqueeze(1), mask_T1).squeeze(1)
        return found

    def forward(self, vectors_TH: Tensor, mask_T1: Tensor, step_H: Tensor | None = None) -> Tensor:
        found: Tensor = self.head(stepped(self.read(vectors_TH, mask_T1), step_H))
        return found


class DualEncoder(nn.Module):
    """Text trunk and two heads. Knows no loss; training hands its views to an objective."""

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(
        self,
        config: DualConfig,
        trunk: TextEncoder,
        feature_width: int,
        *,
        fusion: FusionConfig | None = None,
        regions: int = 1,
        video: VideoConfig | None = None,
        sentence: FrozenText | None = None,
        hubs: tuple[int, int] = (0, 0),
        slots: SlotConfig | None = None,
        description_width: int = 0,
    ) -> None:
        """With `fusion`, texts can be fused with `regions` vision vectors of an image. With `video`, items
        are frames of videos, and an image is a video of one frame. With `sentence`, a text has two sides: its
        frozen vector and its words, each with a head. `hubs` are the numbers of captions and images that are
        remembered where `hubness` is taken out. With `slots`, an image is seen together with its description,
        whose sentences have vectors of `description_width`."""
        super().__init__()
        self._still: tuple[nn.Module, ...] = ()
        self.config, self.trunk, self.feature_width = config, trunk, feature_width
        self.space = feature_width if config.image_head == "none" else config.joint
        self.hubness: Hubness | None = None
        # The order of the parts decides which random numbers each begins with, and how the state of the
        # optimizer lies in checkpoints.
        self._build_text_side()
        self.image_slots: SlotReader | None = None
        if slots is not None:
            assert video is None and description_width, "descriptions stand beside images"
            self.image_slots = SlotReader(
                slots,
                vision_width=feature_width,
                regions=regions,
                sentence_width=description_width,
                joint=self.space,
            )
        self._build_image_side(video)
        self.sentence = None if sentence is None else SentenceSide(sentence, self.space, config)
        if config.hubness:
            self.hubness = Hubness(
                self.space, *hubs, part=config.hubness, neighbours=config.hubness_neighbours
            )
        if sentence is not None and isinstance(trunk, GlossedText):
            trunk.frozen.share(sentence.frozen)
        # Last, so that the dual encoder begins with the same weights with and without it.
        self.fusion: Fusion | None = None
        if fusion is not None:
            self.fusion = Fusion(
                fusion, config.hidden, regions=regions, region_width=feature_width, frames=video is not None
            )
            self.word_head = WordHead(config.hidden, trunk.label_table(fusion.words))

    def _build_text_side(self) -> None:
        config = self.config
        if config.text_head == "none":
            own = self.trunk.own_width if isinstance(self.trunk, HuggingFaceText) else 0
            if own != self.space:
                raise UserError(
                    f"dual.text_head=none takes the own vectors of CLIP, of width {own}, and images are put "
                    f"into a space of width {self.space}: take vectors of the same CLIP "
                    f"(dual.image_head=none), or --set dual.joint={own}"
                )
            self.text_head: nn.Module = nn.Identity()
            return
        if config.text_head != "attention":
            self.text_head = DirectHead(config.text_head, self.trunk.width, self.space, config)
            return
        self.project = projection(self.trunk.width, config.hidden, config.dropout)
        self.positions = nn.Embedding(config.positions, config.hidden)
        nn.init.normal_(self.positions.weight, std=config.position_scale)
        self.position_norm = nn.LayerNorm(config.hidden)
        self.attention = SharedAttention(
            config.hidden,
            heads=config.heads,
            key_width=config.key_width,
            dropout=config.dropout,
            released_scale=config.released_scale,
            released_padding=config.released_padding,
        )
        self.text_head = Head(config.hidden, self.space, config)

    def _build_image_side(self, video: VideoConfig | None) -> None:
        config, width = self.config, self.feature_width
        self.register_buffer("feature_mean", torch.zeros(width))
        self.register_buffer("feature_scale", torch.ones(width))
        self.image_frames: FrameEncoder | None = None
        if video is not None:
            if config.image_head == "none" and video.pooling == "nrccr":
                raise UserError(
                    "dual.image_head=none keeps the space of the vision vectors, which video.pooling=nrccr "
                    "leaves. Choose one that stays in it: --set video.pooling=temporal, or mean"
                )
            self.image_frames = FrameEncoder(video, width, released_scale=config.released_scale)
            width = self.image_frames.width
        if self.image_slots is not None:
            width = self.image_slots.config.width
        self.image_trunk: nn.Module = nn.Identity()
        hidden = {"mlp": 2 * self.space, "released": 0 if video is not None else width}
        if wide := hidden.get(config.image_head):
            self.image_trunk = nn.Sequential(nn.Linear(width, wide), nn.ReLU())
            width = wide
        elif config.image_head == "projector":
            self.image_trunk, width = normed_layer(width), 2 * width
        self.image_dropout = nn.Dropout(config.image_dropout)
        self.image_head: Head | None = None
        if config.image_head != "none":
            self.image_head = Head(width, self.space, config, bias=config.image_head != "matrix")

    @property
    def joint(self) -> int:
        """J, width of the vectors."""
        return self.space + (MORE if self.hubness is not None and self.hubness.used else 0)

    @torch.no_grad()
    def fit_features(self, mean_D: Tensor, deviation_D: Tensor) -> None:
        """Standardise vision vectors by the training set's mean and deviation; a constant stays zero."""
        # Without a head the vectors must stay where they are: an index of them stays valid.
        if self.image_head is not None and not self.config.image_unit:
            self.feature_mean.copy_(mean_D)
            # A constant component has deviation 0, and its rounding must not become a signal.
            self.feature_scale.copy_(1 / deviation_D.clamp(min=1e-3))

    def freeze(self, *parts: nn.Module) -> None:
        """Parts that do not learn and stay in eval mode: a frozen norm must not go on adapting."""
        self._still = (*self._still, *parts)
        for part in parts:
            part.requires_grad_(False).eval()

    def freeze_images(self) -> None:
        """The image side does not learn: vectors of images stay what they are, bit for bit."""
        parts = (
            self.image_slots,
            self.image_frames,
            self.image_trunk,
            self.image_dropout,
            self.image_head,
        )
        self.freeze(*(part for part in parts if part is not None))

    def train(self, mode: bool = True) -> DualEncoder:
        super().train(mode)
        # Training calls this at each step, and would wake the dropout and the norms of frozen parts.
        for part in self._still:
            part.eval()
        return self

    def encode_image(self, features: Tensor) -> Tensor:
        """Unit vectors [B, J] of frozen vision vectors [B, D]; of videos [B, F, D], absent frames NaN.

        A model with slots reads images with their descriptions, [B, R D + M H], and takes [B, D] for images
        without.
        """
        vector_BJ = self._see(features)
        if self.hubness is not None and self.hubness.used:
            return self.hubness.pictures(vector_BJ)
        return vector_BJ

    def meet(self, features: Tensor) -> tuple[Tensor, Met]:
        """Unit vectors [B, J] of images with their descriptions, and what the slots hold, for training."""
        raw_BJ, met = self._met(features)
        return F.normalize(raw_BJ, dim=-1), met

    def _met(self, features: Tensor) -> tuple[Tensor, Met]:
        assert self.image_slots is not None
        vision_BRD, sentences_BMH = self.image_slots.parts(features)
        met: Met = self.image_slots(self._standard(vision_BRD), sentences_BMH)
        return self._seen(met.vision), met

    @property
    def packed_width(self) -> int:
        """Width of an image as it is handed over: D, or with the sentences of its description behind it."""
        return self.feature_width if self.image_slots is None else self.image_slots.packed_width

    def _see(self, features: Tensor) -> Tensor:
        return F.normalize(self.raw_image(features), dim=-1)

    def raw_image(self, features: Tensor) -> Tensor:
        """The vectors of `encode_image` before they are scaled to unit length, without hubness."""
        if self.image_slots is not None:
            if features.shape[1] == self.image_slots.packed_width:
                return self._met(features)[0]
            return self._seen(self.image_slots.look(self._standard(features).unsqueeze(1))[:, 0])
        if self.image_frames is None:
            return self._seen(self._standard(features))
        frames_BFD, mask_BF = present(features)
        return self._seen(self.image_frames(self._standard(frames_BFD), mask_BF))

    def _seen(self, seen_BD: Tensor) -> Tensor:
        if self.image_head is None:
            return seen_BD
        return self.image_head.raw(self.image_dropout(self.image_trunk(seen_BD)))

    def encode_regions(self, regions_BRD: Tensor) -> Tensor:
        """Inputs of the fusion encoder from images, [B, R, H]; absent frames of videos stay NaN."""
        assert self.fusion is not None
        return self.fusion.read(self.image_dropout(self._standard(regions_BRD)))

    def whole(self, regions_BRD: Tensor) -> Tensor:
        """Inputs of `encode_image` from images with their regions, or from videos."""
        return regions_BRD[:, 0] if self.image_frames is None else regions_BRD

    def prepare(
        self,
        texts: Sequence[str],
        whole: Sequence[str] | None = None,
        languages: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Make the input of `encode_text`, on the CPU; `whole` are the same texts with all their words, for
        the sentence side, where `texts` lack some; `languages` are theirs, and matter to `adapted` models
        alone."""
        inputs = self.trunk.prepare(texts) if languages is None else self.trunk.prepare_in(texts, languages)
        if self.sentence is not None:
            inputs["sentence"] = self.sentence.trunk.prepare(whole or texts)["vectors"].squeeze(1)
            inputs["known"] = torch.tensor(self.trunk.known_shares(texts))
            inputs["sure"] = torch.tensor(self.trunk.encoder_shares(texts))
        return inputs

    @property
    def frozen(self) -> list[FrozenVectors]:
        """Vectors that its sides read, by frozen sentence encoders."""
        sides = (self.trunk, None if self.sentence is None else self.sentence.trunk)
        return [side.frozen for side in sides if isinstance(side, FrozenText | GlossedText)]

    @property
    def adapted(self) -> tuple[str, ...]:
        """Languages that have parts of their own, which a text is read by where its language is told."""
        return self.trunk.adapted

    def reads(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each text whether anything of it is known, to either side."""
        found = self.trunk.reads(texts)
        if self.sentence is not None:
            found = [one or other for one, other in zip(found, self.sentence.trunk.reads(texts), strict=True)]
        return found

    @property
    def sentence_width(self) -> int:
        """H, width of the vector of a whole text that a head reads directly, by an encoder that was learned
        elsewhere; 0 where none does."""
        if self.sentence is not None:
            return self.sentence.trunk.width
        # What adapters have made of a text is no vector of the encoder any more.
        direct = self.config.text_head not in ("attention", "none") and not self.adapted
        elsewhere = isinstance(self.trunk, FrozenText) or self.trunk.pretrained
        return self.trunk.width if direct and elsewhere else 0

    def sentence_vectors(self, inputs: dict[str, Tensor]) -> Tensor:
        """[T, H] these vectors, as the head reads them, of what `prepare` returned."""
        assert self.sentence_width, "no head reads the vector of a whole text"
        if self.sentence is None:
            return self.encode_text(inputs).pooled
        device = self.feature_mean.device
        return self.sentence.read(inputs["sentence"].to(device), inputs["mask"][:, :1].to(device))

    def encode_text(
        self, inputs: dict[str, Tensor], *, tokens: bool = False, step_H: Tensor | None = None
    ) -> TextViews:
        """One length-bucketed pass over all texts of a step, whatever their role.

        `inputs` is what `prepare` returned, `mask` still on the CPU or moved. With `tokens` the token
        states are kept as well. `step_H` is added to the sentence vectors, where there are some, before
        the head; as [H + 1, H] it is a map of them, whose last row is added.
        """
        device = self.feature_mean.device
        moved = {name: value.to(device, non_blocking=True) for name, value in inputs.items()}
        own_H = step_H if self.sentence is None else None
        run, embedded = self._run_texts(tokens, own_H), self.trunk.embed(moved)
        if self.config.pool == "all":
            # Pooling over padding is only defined for one length: that of the longest text of the batch.
            found = run(embedded, moved["mask"])
        else:
            lengths_T = inputs["mask"].sum(1).cpu()
            apart = self.trunk.by_length or self.config.text_head == "attention"
            budget = TOKENS_PER_BATCH if apart else 1 << 62
            found = run_by_length(run, embedded, moved["mask"], lengths_T, budget)
        found = self._headed(found)
        if self.sentence is not None:
            found |= self._both(found["vector"], moved, step_H)
            del found["raw"]
        if self.hubness is not None and self.hubness.used:
            found["vector"] = self.hubness.texts(found["vector"])
        return TextViews(**found, mask=moved["mask"] if tokens else None)

    def _both(self, words_TJ: Tensor, inputs: dict[str, Tensor], step_H: Tensor | None) -> dict[str, Tensor]:
        assert self.sentence is not None
        sentence_TJ = self.sentence(inputs["sentence"], inputs["mask"][:, :1], step_H)
        # Words are trusted by how many of a text the training captions held: of a language without captions
        # none, and the sentence side stands alone.
        share_T1 = inputs["known"].unsqueeze(1).square()
        # Of what is known the encoder itself may know but a part, where a lexicon knows the others.
        left_T1 = inputs["sure"].unsqueeze(1).square() / share_T1.clamp(min=1e-9)
        left_T1 = torch.where(share_T1 > 0, left_T1, 1.0)
        weights_T2 = torch.cat([left_T1, self.config.word_weight * share_T1], dim=1)
        return {
            "vector": weighted(weights_T2, sentence_TJ, words_TJ),
            "sentence": sentence_TJ,
            "words": words_TJ,
            "weights": weights_T2,
        }

    def read(self, embedded_TL: Tensor, mask_TL: Tensor) -> Tensor:
        """Unit vectors [T, J] of what `trunk.embed` gave, in one piece instead of buckets."""
        vector_TJ = self._headed(self._run_texts(False)(embedded_TL, mask_TL))["vector"]
        if self.hubness is not None and self.hubness.used:
            return self.hubness.texts(vector_TJ)
        return vector_TJ

    def teach(self, source: TextViews, target: TextViews) -> Tensor:
        """Teacher vectors [N, J]: target content seen from the source, beside the target itself (3.2).

        Where a sentence side stands beside the words, these are the words of the teacher, and the sentence is
        that of the target.
        """
        assert source.projected is not None and target.projected is not None
        assert source.mask is not None and target.mask is not None
        crossed_NLH = self.attention.cross(source.projected, target.projected, target.mask, source.mask)
        if self.config.teacher_pool == "cross_only":
            words_NJ = self._head(crossed_NLH, source.mask)
        else:
            both_NLH = torch.cat([crossed_NLH, target.projected], dim=1)
            words_NJ = self._head(both_NLH, torch.cat([source.mask, target.mask], dim=1))
        if target.weights is None or target.sentence is None:
            return words_NJ
        return weighted(target.weights, target.sentence, words_NJ)

    def _standard(self, features: Tensor) -> Tensor:
        if self.config.image_unit:
            return F.normalize(features, dim=-1)
        return (features - self.feature_mean) * self.feature_scale

    def _run_texts(
        self, tokens: bool, step_H: Tensor | None = None
    ) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
        def run(embedded: Tensor, mask_TL: Tensor) -> dict[str, Tensor]:
            more: dict[str, Tensor] = {}
            if isinstance(self.trunk, AdaptedText):
                trunk_TLH, more = self.trunk.read(embedded, mask_TL)
            else:
                trunk_TLH = self.trunk(embedded, mask_TL)
            if self.config.text_head != "attention":
                pooled_TH = self._pool(trunk_TLH, mask_TL)
                if self.config.text_head == "none":
                    assert isinstance(self.trunk, HuggingFaceText)
                    vector = _unit(self.trunk.own_vectors(trunk_TLH, mask_TL))
                else:
                    vector = self._vector(stepped(pooled_TH, step_H))
                found = {**vector, "pooled": pooled_TH, **more}
                return found | ({"trunk": trunk_TLH} if tokens else {})
            positions_LH = self.positions.weight[: mask_TL.shape[1]]
            projected_TLH = self.position_norm(self.project(trunk_TLH) + positions_LH)
            projected_TLH = F.dropout(projected_TLH, self.config.dropout, self.training)
            states_TLH = self.attention(projected_TLH, mask_TL)
            found = {
                **self._vector(self._pool(states_TLH, mask_TL)),
                "pooled": self._pool(trunk_TLH, mask_TL),
                **more,
            }
            kept = {"projected": projected_TLH, "trunk": trunk_TLH, "states": states_TLH}
            return found | (kept if tokens else {})

        return run

    def _vector(self, pooled_TH: Tensor) -> dict[str, Tensor]:
        # BatchNorm must see all texts, so it waits for those of other lengths; other heads need not.
        return {"mean": pooled_TH} if self.config.head_batch_norm else self._through_head(pooled_TH)

    def _headed(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pass what waits through the head."""
        mean_TH = found.pop("mean", None)
        return found if mean_TH is None else {**self._through_head(mean_TH), **found}

    def _through_head(self, vectors_TH: Tensor) -> dict[str, Tensor]:
        assert isinstance(self.text_head, Head | DirectHead)
        return _unit(self.text_head.raw(vectors_TH))

    def _pool(self, states_NLH: Tensor, mask_NL: Tensor) -> Tensor:
        return masked_mean(states_NLH, mask_NL) if self.config.pool == "masked" else states_NLH.mean(1)

    def _head(self, states_NLH: Tensor, mask_NL: Tensor) -> Tensor:
        vector: Tensor = self.text_head(self._pool(states_NLH, mask_NL))
        return vector


def _unit(raw_TJ: Tensor) -> dict[str, Tensor]:
    """Vectors with and without their lengths."""
    return {"vector": F.normalize(raw_TJ, dim=-1), "raw": raw_TJ}


def stepped(vectors_TH: Tensor, step_H: Tensor | None) -> Tensor:
    """Move vectors by a step, where there is one; [H + 1, H] is a map, whose last row is added."""
    if step_H is None:
        return vectors_TH
    return vectors_TH + step_H if step_H.ndim == 1 else vectors_TH @ step_H[:-1] + step_H[-1]


def weighted(weights_N2: Tensor, sentence_NJ: Tensor, words_NJ: Tensor) -> Tensor:
    """Join both sides of texts, [N, J], unit length."""
    return F.normalize(weights_N2[:, :1] * sentence_NJ + weights_N2[:, 1:] * words_NJ, dim=-1)


def unique_texts(texts: Sequence[str]) -> tuple[list[str], Tensor]:
    """List the different texts in order of first appearance, and for each text its row among them."""
    different, row_of_text = unique(texts)
    return different, torch.tensor(row_of_text, dtype=torch.long)
