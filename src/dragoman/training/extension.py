"""Adding languages to a finished run, whose image side stays as it is, bit for bit.

The new languages are learned from their machine captions by the objective of the run, and by distillation
from the model that the run starts from: a translation belongs where that model puts its source caption
(Reimers and Gurevych, EMNLP 2020, section 3). Known languages are held where that model puts them.

T texts, P pairs, J joint width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dragoman.corpus import FeatureSet
from dragoman.errors import UserError
from dragoman.languages import comparable
from dragoman.models.dual import DualEncoder, unique_texts
from dragoman.models.folder import load_model
from dragoman.models.text import TextConfig
from dragoman.models.text.adapters import AdaptedText, AdaptersTextConfig
from dragoman.models.text.huggingface import HuggingFaceText, HuggingFaceTextConfig
from dragoman.objectives.contract import Batch, Objective, Views
from dragoman.training.batches import Step
from dragoman.training.config import ExtensionConfig, TrainConfig
from dragoman.training.run_folder import model_hash, read_config, read_identity
from dragoman.training.samples import Samples


def extended_config(run: str | Path, add: Sequence[str], recipe: TrainConfig | None = None) -> TrainConfig:
    """Return the configuration of a run that starts from `run` and learns the languages `add`.

    Everything is as in that run; with `recipe`, everything but what its model is and knows is as there.
    Raises UserError for a folder that is no finished run, and for languages that the run knows.
    """
    before = read_config(Path(run))
    text = _text_of(before.text, None if recipe is None else recipe.text)
    languages = (before.source, *before.targets)
    add = tuple(map(comparable, add))
    known = [lang for lang in add if lang in languages]
    if known or not add:
        raise UserError(
            f"{run} was trained on {', '.join(languages)}. Name languages that join these"
            + (f", not {', '.join(known)}" if known else "")
            + ": --add gl"
        )
    return replace(
        recipe or before,
        source=before.source,
        targets=(*before.targets, *add),
        features=before.features,
        text=text,
        dual=before.dual,
        fusion=before.fusion,
        video=before.video,
        extension=ExtensionConfig(added=add, learn=_way_of(text)),
    )


def _text_of(before: TextConfig, wanted: TextConfig | None) -> TextConfig:
    """Settings of the text encoder: those of the run, or of adapters that are put on its encoder."""
    if before.by_language or not isinstance(before, HuggingFaceTextConfig):
        return before
    return wanted.on(before) if isinstance(wanted, AdaptersTextConfig) else before


def _way_of(text: TextConfig) -> Literal["vocabulary", "text", "adapters"]:
    if text.by_language:
        return "adapters"
    return "vocabulary" if text.grows else "text"


class Extension:
    """The model that a run starts from: frozen, and the teacher of what it becomes."""

    def __init__(self, run: Path, config: TrainConfig) -> None:
        before = read_config(run)
        shape = (_text_of(before.text, config.text), before.dual, before.fusion, before.video)
        if config.extension is None or (config.text, config.dual, config.fusion, config.video) != shape:
            raise UserError(
                f"The model comes from {run} as it is: --add languages; set nothing of text, dual, fusion, "
                "video."
            )
        if "fused" in config.loss.needs and "fused" not in before.loss.needs:
            raise UserError(f"The model of {run} has no fusion encoder, which this objective reads.")
        self.run, self.config, self.text = run, config.extension, config.text
        self.teacher, self.trained = load_model(run / "model")
        self.teacher.requires_grad_(False)

    def identity(self) -> dict[str, str]:
        """Return which model this is, wherever it lies."""
        return {"model": model_hash(self.run)}

    def require_same_features(self, features: FeatureSet) -> None:
        """Raise UserError where the vectors are not of the kind that the run learned from."""
        made, now = read_identity(self.run)["features"], made_from(features)
        if made["encoder"] or now["encoder"]:
            same = made["encoder"] == now["encoder"]
        else:
            same = sorted(made["inputs"].values()) == sorted(now["inputs"].values())
        if features.width != self.teacher.feature_width or not same:
            raise UserError(
                f"{features.folder} holds other vectors (width {features.width}) than those that {self.run} "
                f"learned from (width {self.teacher.feature_width}): its image side reads only those. Give a "
                "corpus with the same feature set."
            )

    def student(self, samples: Samples, known_words: Iterable[str]) -> DualEncoder:
        """Return the model that learns: a copy that can read the new languages, frozen where it must not
        move."""
        model, _ = load_model(self.run / "model")
        texts = samples.all_texts()
        if self.config.learn == "vocabulary":
            self._learn_new_pieces(model, texts, known_words)
        elif self.config.learn == "adapters":
            self._learn_new_adapters(model, samples.by_language())
        else:
            model.trunk = model.trunk.extended(texts, known_words)
            model.trunk.learn_on(self.text)
        model.freeze_images()
        return model

    def objective(self, inner: Objective) -> Objective:
        """Return the objective with distillation from the teacher, which reads `anchor` among the views."""
        return Anchored(inner, self.config)

    @torch.no_grad()
    def anchors(self, step: Step, batch: Batch) -> Tensor:
        """Return [T, J], where the teacher puts a text of a known language, or the source caption of a new
        one."""
        new_T = added_texts(batch, self.config)
        different, row_of_text = unique_texts(
            [
                step.source_of_pair[pair] if new else step.texts[row]
                for new, pair, row in zip(
                    new_T.tolist(), batch.pair.tolist(), step.row_of_text.tolist(), strict=True
                )
            ]
        )
        # Here and not at the start: only now is it known where the student stands.
        self.teacher.to(batch.pair.device)
        return self.teacher.encode_text(self.teacher.trunk.prepare(different)).vector[row_of_text]

    def _learn_new_pieces(self, model: DualEncoder, texts: Sequence[str], known_words: Iterable[str]) -> None:
        """Freeze all but the rows of pieces that the model did not know."""
        table = model.trunk.table
        if table is None:
            raise UserError(
                "A pretrained text encoder has a vocabulary of its own, to which nothing is added. Let the "
                "text side learn: --set extension.learn=text"
            )
        known = len(table)
        model.trunk = model.trunk.extended(texts, known_words)
        pieces = model.trunk.table
        assert pieces is not None
        model.requires_grad_(False)
        model.freeze(*(part for part in model.text_head.modules() if isinstance(part, nn.BatchNorm1d)))
        pieces.requires_grad_(True)
        # Rows of one table cannot be frozen alone: the others get no gradient, and such runs no weight decay.
        new_V1 = (torch.arange(len(pieces)) >= known).unsqueeze(1)
        pieces.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: gradient * new_V1.to(gradient.device)
        )

    def _learn_new_adapters(self, model: DualEncoder, by_language: Mapping[str, Sequence[str]]) -> None:
        """Freeze all but adapters of the new languages, and what languages share where there were none."""
        if not isinstance(model.trunk, AdaptedText):
            assert isinstance(model.trunk, HuggingFaceText) and isinstance(self.text, AdaptersTextConfig)
            model.trunk = AdaptedText.over(model.trunk, self.text, model.space)
        model.freeze(*model.children())
        model.trunk.conditioning.requires_grad_(not model.adapted)
        for lang in self.config.added:
            model.trunk.add(lang, by_language[lang])


class Anchored(Objective):
    """Another objective's terms, and squared distances to the anchors: `taught` of texts in a language that
    is learned, `kept` of all others."""

    def __init__(self, inner: Objective, config: ExtensionConfig) -> None:
        super().__init__()
        self.inner, self.config = inner, config
        self.weights = {**inner.weights, "taught": config.teach_weight, "kept": config.keep_weight}

    @property
    def opponent(self) -> nn.Module | None:
        return self.inner.opponent

    @property
    def learned_temperature(self) -> Tensor | None:
        return self.inner.learned_temperature

    def opponent_loss(self, views: Views, batch: Batch) -> Tensor:
        return self.inner.opponent_loss(views, batch)

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        assert views.anchor is not None
        terms = dict(self.inner(views, batch))
        new_T = added_texts(batch, self.config)
        distance_T = (views.text - views.anchor).square().sum(1)
        if new_T.any():
            weight_T = batch.weights(new_T.nonzero().squeeze(1))
            terms["taught"] = (weight_T * distance_T[new_T]).sum() / weight_T.sum()
        # Where only new pieces learn, the rest cannot move.
        if self.config.learn == "text" and not new_T.all():
            terms["kept"] = distance_T[~new_T].mean()
        return terms


def added_texts(batch: Batch, config: ExtensionConfig) -> Tensor:
    """Return [T], true for captions in a language that is learned; back-translations are in the source
    language."""
    added = torch.tensor([lang in config.added for lang in batch.languages], device=batch.lang.device)
    return added[batch.lang]


def made_from(features: FeatureSet) -> dict[str, Any]:
    """Return what tells two feature sets of one name apart; where the tower lies does not matter."""
    encoder = features.manifest.get("encoder")
    return {
        "inputs": features.manifest.get("inputs", {}),
        "encoder": encoder.get("fingerprint") if isinstance(encoder, dict) else encoder,
        **({"regions": features.most_parts} if features.most_parts > 1 else {}),
        **({"layer": encoder["layer"]} if isinstance(encoder, dict) and "layer" in encoder else {}),
    }
