"""The complete configuration of a run: one frozen, typed value that checks itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from torch import Tensor

from dragoman.errors import UserError
from dragoman.languages import comparable
from dragoman.models.dual import DualConfig
from dragoman.models.fusion import FusionConfig
from dragoman.models.slots import SlotConfig
from dragoman.models.temporal import VideoConfig
from dragoman.models.text import TextConfig, name_of
from dragoman.models.text.frozen import FrozenTextConfig
from dragoman.models.text.glosses import GlossedTextConfig
from dragoman.models.text.huggingface import HuggingFaceTextConfig
from dragoman.models.text.spelling import SmallTextConfig
from dragoman.objectives import load_objective
from dragoman.objectives.contract import ObjectiveConfig
from dragoman.settings import change


@dataclass(frozen=True, kw_only=True)
class TrustUse:
    """Three switches, which may be combined; all are off by default. q is the trust of a caption, 0 to 1: its
    score, or a label that the run learns."""

    weight: bool = False
    """Weigh every machine caption by max(q, floor): its share among the captions of its image (the targets
    of 1-to-K) and its part in every mean. Human captions weigh 1."""
    soft: bool = False
    """Aim a machine caption at its own image by max(q, floor) only, and for the rest at the images that its
    source caption finds similar."""
    drop_below: float = 0.0
    """Leave out machine captions with a lower q."""
    floor: float = 0.1
    shuffled: bool = False
    """Deal the scores of a language out at random: a control, which shows what the scores themselves are
    worth."""
    learn: Literal["off", "gsc", "ncr"] = "off"
    """Take labels for q that the run learns itself, anew after every epoch, in the place of the scores of
    `dragoman trust`: by geometrical structure consistency or as the noisy correspondence rectifier does."""
    geometry_weight: float = 1.0
    """With `learn=gsc`, weight of its loss, by which a text comes to lie among the texts as its image does
    among the images."""

    def __post_init__(self) -> None:
        if not 0 < self.floor <= 1:
            raise UserError(f"trust.floor must lie in (0, 1], got {self.floor}")
        if not 0 <= self.drop_below <= 1:
            raise UserError(f"trust.drop_below must lie in [0, 1], got {self.drop_below}")
        if not self.geometry_weight >= 0:
            raise UserError(f"trust.geometry_weight must be 0 or more, got {self.geometry_weight}")
        if self.learns and not self.used:
            raise UserError(
                f"trust.learn={self.learn} learns labels that nothing uses: --set trust.weight=true, "
                "--set trust.soft=true or --set trust.drop_below=0.2"
            )

    @property
    def learns(self) -> bool:
        """True where the run learns labels itself."""
        return self.learn != "off"

    @property
    def used(self) -> bool:
        """True where trust matters to the run."""
        return self.weight or self.soft or self.drop_below > 0

    def weights(self, trust_T: Tensor) -> Tensor | None:
        """Return weights of texts, [T]; None for equal ones."""
        return trust_T.clamp(min=self.floor) if self.weight else None

    def confidences(self, trust_T: Tensor) -> Tensor | None:
        """Return weights of the own image among the targets of a text, [T]; None for 1."""
        return trust_T.clamp(min=self.floor) if self.soft else None


@dataclass(frozen=True, kw_only=True)
class ExtensionConfig:
    """Settings of adding languages to a model whose image side stays as it is."""

    added: tuple[str, ...]
    """Languages that are learned; the model that the run starts from knows the others."""
    learn: Literal["vocabulary", "text", "adapters"] = "vocabulary"
    """`vocabulary`: word pieces that the model did not know, and nothing else. `text`: the whole text side,
    with captions of the known languages rehearsed. `adapters`: those of the new languages, where the model
    has some for each."""
    teach_weight: float = 1.0
    """Weight of the squared distance between a caption of an added language and the starting model's vector
    of its source caption."""
    keep_weight: float = 1.0
    """Weight of the squared distance between a caption of a known language and the starting model's vector of
    it; only where the whole text side learns."""

    def __post_init__(self) -> None:
        for name in ("teach_weight", "keep_weight"):
            if not getattr(self, name) >= 0:
                raise UserError(f"extension.{name} must be 0 or more, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The complete configuration of a run. Every field can be changed by `--set name=value`, nested ones with
    dots."""

    recipe: str
    source: str
    """Language of the human captions."""
    targets: tuple[str, ...]
    """Languages learned from machine captions; none trains on the source alone."""
    features: str
    """Name of the feature set of the corpus."""
    objective: str
    """File of `objectives/`."""
    loss: ObjectiveConfig
    """That file's `Config`."""
    text: TextConfig = field(default_factory=SmallTextConfig)
    sentence: FrozenTextConfig | None = None
    """A frozen sentence encoder beside `text`, which then reads the words: `frozen:NAME` of a set of vectors
    of texts. Each side has the loss of the recipe, and so has their sum."""
    anchors: str | None = None
    """Set of vectors of texts by the text side of a public dual encoder, whose image side made `features`:
    an objective that reads anchors moves a caption to where that encoder puts its source caption, or brings
    both together."""
    frozen: str | None = None
    """Set of vectors of texts by a frozen sentence encoder, for an objective that learns how near captions
    lie to one another: `use`, or another name."""
    descriptions: str | None = None
    """Set of vectors of texts by which the descriptions of items (`dragoman describe`) are read beside their
    vision vectors, in training, evaluation and an index of a corpus; without one they are not."""
    slots: SlotConfig = field(default_factory=SlotConfig)
    solve: Literal["none", "ridge", "orthogonal"] = "none"
    """A linear head on a frozen sentence encoder, found at once in the place of steps: by least squares of
    the source captions and their `anchors`, with the penalty that is best in validation (a step is one that
    was tried), or as the best rotation."""
    dual: DualConfig = field(default_factory=DualConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    extension: ExtensionConfig | None = None
    """Set by `--init` and `--add`: the run starts from the model of another and learns further languages."""
    engines: tuple[str, ...] = ()
    """Whose translations to learn from, where several engines wrote some: `google-2015` for all languages,
    `zh=google-2015` for one. `*` or `zh=*` is every engine; each step then draws among them."""
    target_captions: Literal["mt", "human", "both"] = "mt"
    """`human` is the oracle: human target captions of the training items, one drawn per source caption.
    `both` draws among the translations of a source caption and the human target captions of its item."""
    incomplete: Literal["error", "drop", "keep"] = "error"
    """Source captions without a translation into each target: stop, leave them out, or learn from the
    languages that they have."""
    trust: TrustUse = field(default_factory=TrustUse)
    epochs: int = 10
    steps: int | None = None
    """Length of the run in steps, instead of `epochs`; for comparisons at an equal number of steps."""
    batch_size: int = 128
    """Units of a step (`unit`), each with its captions; `captions_per_step` overrides it."""
    captions_per_step: int | None = None
    """Captions of a step over all languages, back-translations included: the text budget, for comparisons of
    methods that encode more and fewer captions for an image."""
    unit: Literal["caption", "image"] = "caption"
    """Parts of a step and an epoch: source captions, each with its own translations, or images, each
    with one caption of every language, which need not be translations of each other."""
    draw: int | None = None
    """Languages drawn for a unit, anew in each step, from those that it has; without a number all of them,
    with 0 the source alone."""
    always_source: bool = True
    """The source caption takes part besides the languages drawn; otherwise it is drawn like any other."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 3e-3
    pretrained_learning_rate: float = 5e-5
    """Learning rate of the trained layers of a Hugging Face text encoder; of low-rank differences (LoRA),
    which do not decay, 1e-4 to 2e-4 is usual."""
    weight_decay: float = 0.01
    """Decay of matrices; biases, norms and temperatures have none."""
    schedule: Literal["cosine", "linear", "nrccr"] = "cosine"
    """`cosine` or `linear` to zero after a linear warm-up; `nrccr`: 0.99 per epoch, halved when validation
    stalls."""
    warmup: float = 0.05
    """Share of all steps."""
    beta: float = 0.999
    """Second moment's decay of the optimizer."""
    clip: float = 2.0
    """Largest gradient norm; 0 does not clip."""
    standardise: bool = True
    """Give the vision vectors mean 0 and deviation 1 in each component, over the training items."""
    word_dropout: float = 0.1
    """Share of the space-separated words of every training text left out, anew in each step."""
    extra_images: int = 0
    """Images without a caption that join a step as further negatives of its texts, drawn from the training
    items. Where images enter as frozen vectors they cost next to nothing, however small the text budget."""
    hard_negatives: bool = False
    """In the order of an epoch every unit is followed by one whose image looks most alike, of those not yet
    used, so that steps hold the hardest negatives. Nearness is that of the frozen vectors; of videos, of the
    mean of their frames: what only the order of frames tells apart stands side by side."""
    back_share: float = 1.0
    """Share of the source captions of a step whose back-translations join it, where the objective reads
    them: fewer leave more of a text budget to other captions."""
    synonyms: float = 0.0
    """Share of the words of machine captions replaced, anew in each step, by a word of the corpus's lexicon
    with the same translation (`dragoman lexicon`)."""
    renderings: float = 0.0
    """Share of machine captions replaced, anew in each step, by the source caption rendered word for word
    from the lexicon."""
    lexicons: tuple[str, ...] = ()
    """Languages whose lexicon is read for `synonyms` and `renderings`: without any all targets, with `*`
    those that have one. With text=glossed, languages whose words are read by their lexicon, targets or not:
    those that the encoder does not know."""
    opponent_learning_rate: float = 1e-3
    """Learning rate of the language discriminator, with plain Adam."""
    validation: Literal["mt", "human"] = "mt"
    """Captions whose SumR on the val split chooses the model: machine ones need no human target caption."""
    validation_captions: int | None = None
    """Captions of each language that validation ranks, spread over the split; without a number all."""
    select: Literal["best", "last"] = "best"
    """The model that is kept: of the best validation, or of the last."""
    validate_every: float = 1.0
    """Epochs between validations."""
    patience: int = 10
    """Stop after so many validations without a new best."""
    checkpoint_every: int = 200
    """Steps between checkpoints; one is also written after every validation and on Ctrl-C."""
    precision: Literal["auto", "no", "bf16"] = "auto"
    """`auto` is bfloat16 on a GPU that has it and float32 elsewhere."""
    chunk: int | None = None
    """Texts encoded at a time. A number bounds the memory of a large step by that of so many texts, for the
    time of encoding twice; the gradient is the same. Without one, all at once."""
    seed: int = 1

    def __post_init__(self) -> None:
        # The form in which captions bear them, also for runs of before.
        object.__setattr__(self, "source", comparable(self.source))
        for name in ("targets", "lexicons"):
            object.__setattr__(self, name, tuple(map(comparable, getattr(self, name))))
        for name in (
            *("epochs", "steps", "batch_size", "captions_per_step"),
            *("validation_captions", "patience", "checkpoint_every"),
        ):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "pretrained_learning_rate", "validate_every", "opponent_learning_rate"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("word_dropout", "warmup", "synonyms", "renderings", "beta"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        for name in ("weight_decay", "clip", "seed", "extra_images"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if self.draw is not None and self.draw < (0 if self.always_source else 1):
            raise UserError(
                f"draw must be at least 1 (0 is the source alone, with always_source=true), got {self.draw}"
            )
        if not 0 < self.back_share <= 1:
            raise UserError(
                f"back_share must lie in (0, 1], got {self.back_share}; without any: loss.cycle=false"
            )
        if self.source in self.targets or len(set(self.targets)) < len(self.targets):
            raise UserError(f"Targets {self.targets} must differ from each other and from {self.source!r}")
        known = (*self.targets, "*")
        if unknown := [lang for lang in self.lexicons if lang not in known and not self.reads_words]:
            raise UserError(f"lexicons names {', '.join(unknown)}, which is no target: {self.targets}")
        self._check_objective()
        self._check_chunk()
        self._check_text_head()
        self._check_frozen()
        self._check_anchors()
        self._check_extension()
        self._check_descriptions()
        self._check_memories()
        self._check_labels()
        longest = self.text.max_tokens
        if self.dual.text_head == "attention" and longest > self.dual.positions:
            raise UserError(
                f"Texts of up to {longest} tokens need as many positions, but dual.positions is "
                f"{self.dual.positions}: --set dual.positions={longest}"
            )

    def _check_objective(self) -> None:
        if not isinstance(self.loss, load_objective(self.objective).Config):
            raise UserError(
                f"The settings in `loss` are not those of the objective {self.objective!r}. "
                "Choose the recipe of that objective: --recipe NAME"
            )
        paired = {"back", "teacher", "raw"} & set(self.loss.needs)
        if paired and (self.unit != "caption" or not self.always_source):
            raise UserError(
                f"The objective {self.objective!r} compares a translation with its own source caption, so "
                "both must be in a step: --set unit=caption --set always_source=true"
            )
        if "raw" in self.loss.needs and self.sentence is not None:
            raise UserError(
                f"The objective {self.objective!r} reads the vectors of one side, and a sentence side puts "
                "another beside it: --set sentence=none"
            )
        if "raw" in self.loss.needs and self.dual.text_head != "none" and self.extension is None:
            raise UserError(
                f"The objective {self.objective!r} moves translations to where a finished model puts their "
                f"source captions, and dual.text_head={self.dual.text_head} is a head that begins with "
                "nothing. Take a CLIP (text.own=true, dual.text_head=none), or a run that knows the source "
                "language: --init RUN --add LANGUAGE"
            )
        if "semantic" in self.loss.needs and not self.text.by_language:
            raise UserError(
                f"The objective {self.objective!r} trains adapters on a frozen text encoder: "
                "--set text=adapters:FOLDER"
            )
        wanted, learned = self.loss.target_languages, self.learned_targets
        if wanted is not None and len(learned) != wanted:
            raise UserError(
                f"The objective {self.objective!r} learns {wanted} target language at a time, got "
                f"{', '.join(learned) or 'none'}. Name one (--targets pt), or take a recipe for any "
                "number: --recipe translate_train"
            )

    def _check_text_head(self) -> None:
        if "fused" in self.loss.needs and self.text.by_language:
            raise UserError(
                "A fusion encoder is not told the language of a text, which adapters read it by: "
                "--set loss.mitm_weight=0 --set loss.cmlm_weight=0"
            )
        if "fused" in self.loss.needs or self.extension is not None:
            for name, there in (
                ("sentence", self.sentence is not None),
                ("dual.hubness", self.dual.hubness > 0),
            ):
                if there:
                    raise UserError(
                        f"{name} goes neither with a fusion encoder nor with adding languages: "
                        f"--set {name}={'none' if name == 'sentence' else 0}"
                    )
        own = isinstance(self.text, HuggingFaceTextConfig) and self.text.own
        if own != (self.dual.text_head == "none"):
            raise UserError(
                "text.own=true and dual.text_head=none go together, with text=hf:FOLDER or "
                "text=adapters:FOLDER of a CLIP: texts then stay where CLIP puts them"
            )
        kept = getattr(self.text, "states", None) is not None
        if kept and (self.dual.pool == "all" or self.dual.released_padding):
            raise UserError(
                "dual.pool=all and dual.released_padding read the states of padding, which are not kept: "
                "--set text.states=none, or --set dual.pool=masked --set dual.released_padding=false"
            )
        if self.dual.text_head == "attention":
            return
        over_tokens = {"fused"} if self.loss.taught_by == "itself" else {"fused", "teacher"}
        if read := over_tokens & set(self.loss.needs):
            raise UserError(
                f"dual.text_head={self.dual.text_head} has no attention over tokens, which the objective "
                f"{self.objective!r} reads ({', '.join(sorted(read))}): --set dual.text_head=attention, or "
                "a recipe without: --recipe translate_train"
            )

    def _check_frozen(self) -> None:
        if "frozen" in self.loss.needs and self.frozen is None:
            raise UserError(
                f"The objective {self.objective!r} reads vectors of captions by a frozen sentence encoder: "
                "dragoman features CORPUS --texts --encoder use, and --set frozen=use"
            )

    def _check_anchors(self) -> None:
        linear = self.dual.text_head == "linear" and not self.dual.head_batch_norm
        alone = isinstance(self.text, FrozenTextConfig) and self.sentence is None
        if self.solve != "none" and not (linear and alone and "anchor" in self.loss.needs):
            raise UserError(
                f"solve={self.solve} finds a linear head on kept vectors from anchors: --recipe anchor, or "
                "--set solve=none"
            )
        if "anchor" not in self.loss.needs:
            return
        if self.anchors is None:
            raise UserError(
                f"The objective {self.objective!r} reads vectors of the source captions by the text side of "
                "the encoder that made the features: dragoman features CORPUS --texts --encoder ENCODER "
                "--name NAME, and --set anchors=NAME"
            )
        if self.dual.image_head != "none" and not self.loss.anchors_learn:
            raise UserError(
                "Anchors stand in the space of the vision vectors, which dual.image_head="
                f"{self.dual.image_head} leaves: --set dual.image_head=none"
            )
        if self.extension is not None:
            raise UserError(
                f"The objective {self.objective!r} adds no languages to a run: name all of them, --targets"
            )

    def _check_memories(self) -> None:
        if "retrieved" not in self.loss.needs:
            return
        if not isinstance(self.text, FrozenTextConfig) or self.sentence is not None:
            raise UserError(
                f"The objective {self.objective!r} mixes vectors of texts before a head reads them, which "
                "only kept ones allow: --set text=frozen:use --set sentence=none"
            )
        if not self.targets:
            raise UserError(
                f"The objective {self.objective!r} finds captions of target languages in a memory. "
                "Name some: --targets pt"
            )

    def _check_extension(self) -> None:
        if self.extension is not None and (self.extension.learn == "adapters") != self.text.by_language:
            raise UserError(
                "Languages join a model with adapters by adapters of their own, and no other model so: --set "
                f"extension.learn={'adapters' if self.text.by_language else 'text'}"
            )

    def _check_descriptions(self) -> None:
        if self.descriptions is None:
            if "slots" in self.loss.needs:
                raise UserError(
                    f"The objective {self.objective!r} reads descriptions of items: --set descriptions=NAME, "
                    "a set of vectors of texts (dragoman features CORPUS --texts)"
                )
            return
        without = "--set descriptions=none, or a recipe that reads none"
        if {"fused", "retrieved"} & set(self.loss.needs) or self.extension is not None:
            raise UserError(
                "descriptions go neither with a fusion encoder or memories nor with adding languages: "
                f"{without}"
            )
        if self.dual.image_head == "none":
            raise UserError(
                "dual.image_head=none keeps the space of the vision vectors, which descriptions leave: "
                f"{without}"
            )

    def _check_labels(self) -> None:
        if not self.trust.learns:
            return
        learn, off = f"trust.learn={self.trust.learn}", "--set trust.learn=off"
        if not self.targets or self.target_captions == "human":
            why = "it learns from human captions alone" if self.targets else "it has no target language"
            raise UserError(
                f"{learn} is about labels of machine captions, and a run has none where {why}: {off}"
            )
        if self.solve != "none":
            raise UserError(f"{learn} needs steps to learn in, which solve={self.solve} has not: {off}")

    def _check_chunk(self) -> None:
        if self.chunk is None:
            return
        if self.chunk < 1:
            raise UserError(f"chunk must be at least 1, got {self.chunk}")
        if self.dual.depends_on_batch:
            raise UserError(
                "With dual.head_batch_norm, dual.pool=all or a projector, a vector depends on those encoded "
                "beside it, so a step cannot be cut: --set chunk=none, or "
                "--set dual.head_batch_norm=false --set dual.pool=masked"
            )

    @property
    def kept_texts(self) -> tuple[str, ...]:
        """Sets of vectors of texts, or of states of their tokens, that the run reads, by name."""
        sides = (self.text, self.sentence)
        kinds = (FrozenTextConfig, GlossedTextConfig)
        names = [side.features for side in sides if isinstance(side, kinds)]
        # A model that learns a further language reads its texts itself.
        states = None if self.extension is not None else getattr(self.text, "states", None)
        more = [name for name in (states, self.anchors, self.frozen, self.descriptions) if name is not None]
        return tuple(dict.fromkeys([*names, *more]))

    @property
    def reads_whole(self) -> bool:
        """True where texts are read with all their words, beside those that a step leaves out of them."""
        return self.sentence is not None or "frozen" in self.loss.needs

    @property
    def reads_words(self) -> bool:
        """True where the vectors of single words are wanted as well."""
        return isinstance(self.text, GlossedTextConfig)

    @property
    def learned_targets(self) -> tuple[str, ...]:
        """Targets that the run is there to learn; a model that it starts from knows the others."""
        return self.targets if self.extension is None else self.extension.added

    @property
    def learns_new_alone(self) -> bool:
        """True where nothing learns but what the model that the run starts from did not have: word pieces, or
        adapters."""
        return self.extension is not None and self.extension.learn != "text"

    @property
    def source_part(self) -> Literal["always", "drawn", "never"]:
        """The part of source captions in steps: never where the model knows them and they cannot move."""
        if self.learns_new_alone and not self.loss.reads_source:
            return "never"
        return "always" if self.always_source else "drawn"

    @property
    def step_targets(self) -> tuple[str, ...]:
        """Languages of a step beside the source: those that are learned, then those that are rehearsed."""
        rehearsed = () if self.extension is None or self.learns_new_alone else self.targets
        return tuple(dict.fromkeys((*self.learned_targets, *rehearsed)))

    def with_objective(self, name: str, **settings: Any) -> TrainConfig:
        """Return a copy that learns by the objective in file `name`, with these settings and no others."""
        return dataclasses.replace(self, objective=name, loss=objective_config(name, **settings))

    def with_settings(self, settings: Mapping[str, str]) -> TrainConfig:
        """Return a copy with settings changed, read from texts: `{"loss.sim_weight": "0.2"}`."""
        return change(self, settings)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        plain["text"]["type"] = name_of(self.text)
        return plain


def objective_config(objective: str, **settings: Any) -> ObjectiveConfig:
    """Return the settings of the objective in file `objective`."""
    return load_objective(objective).Config(**settings)
