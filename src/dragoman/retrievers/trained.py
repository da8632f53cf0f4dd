"""The trained model as a user holds it: texts and images in, unit vectors out.

N texts or images, R regions, F frames, D width of the vision vectors, J joint width; T texts, I images and P
pairs of re-ranking.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UserError

try:
    import torch
except ImportError:
    raise MissingExtraError("torch", "train", "Loading a trained model") from None

from dragoman.features.kept_texts import KeptTexts
from dragoman.media.frames import MOST_FRAMES, padded
from dragoman.models.dual import DualEncoder, unique_texts
from dragoman.models.folder import load_model
from dragoman.models.fusion import Fusion
from dragoman.models.identity import model_in, own_fingerprint
from dragoman.models.sentences import Reading, TextSide
from dragoman.retrievers.base import NO_FUSION, BatchedEncoder, require_list

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from dragoman.corpus import Corpus
    from dragoman.models.vision import VisionTower


class TrainedTexts(TextSide):
    """The text side of a dual encoder: trunk, attention and head."""

    unit = True
    reading = Reading(folded=False)

    def __init__(self, model: DualEncoder, lang: str | None = None) -> None:
        self._model, self._lang = model, lang
        self.width = model.joint

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return self._model.trunk.lengths(texts)

    def tokens(self, texts: Sequence[str]) -> list[int] | None:
        return self._model.trunk.tokens(texts)

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return self._model.reads(texts)

    @torch.inference_mode()
    def _vectors(self, given: list[str]) -> NDArray[np.float32]:
        languages = None if self._lang is None else [self._lang] * len(given)
        return _array(self._model.encode_text(self._model.prepare(given, languages=languages)).vector)


class Retriever(BatchedEncoder):
    """A dual encoder loaded from a run folder. Vectors are float32 of unit length; score = dot product."""

    def __init__(
        self,
        model: DualEncoder,
        config: dict[str, Any],
        vision: str | Path | None,
        folder: Path | None = None,
    ) -> None:
        self.model = model
        """The dual encoder, in eval mode."""
        self._folder = folder
        self._vision = vision
        self._tower: VisionTower | None = None
        self._loading = threading.Lock()
        self.config = config
        """Source and target languages, feature set, recipe, seed: what the model was trained with."""

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu", *, vision: str | Path | None = None) -> Retriever:
        """Load `run/` (or its `model/`). Raises UserError for another format or a newer version.

        `vision` is the folder or hub id of the vision tower for `encode_image`, where the run does not know
        it (features that were given as vectors) or it has moved.
        """
        path = Path(folder)
        model, config = load_model(model_in(path))
        return cls(model.to(device), config, vision, path)

    @cached_property
    def fingerprint(self) -> str:
        """Name of the model (`models.identity`): an index is searched with the model that filled it."""
        assert self._folder is not None, "a model that was not loaded from a folder has no name"
        return own_fingerprint(self._folder)

    @property
    def width(self) -> int:
        """J."""
        return self.model.joint

    @property
    def feature_width(self) -> int:
        """D."""
        return self.model.feature_width

    @property
    def reads_frames(self) -> bool:
        return self.model.image_frames is not None

    @property
    def regions(self) -> int:
        return 0 if self.model.fusion is None else self.model.fusion.regions

    @property
    def adapted(self) -> tuple[str, ...]:
        return self.model.adapted

    def text_side(self) -> TextSide:
        return TrainedTexts(self.model)

    def _side_in(self, lang: str) -> TextSide:
        return TrainedTexts(self.model, lang)

    @property
    def sentence_width(self) -> int:
        """H."""
        return self.model.sentence_width

    @torch.inference_mode()
    def _sentences(self, texts: list[str]) -> NDArray[np.float32]:
        return _array(self.model.sentence_vectors(self.model.prepare(texts)))

    @torch.inference_mode()
    def _moved(self, texts: list[str], step: NDArray[np.float32]) -> NDArray[np.float32]:
        step_H = torch.from_numpy(step).to(self.model.feature_mean.device)
        return _array(self.model.encode_text(self.model.prepare(texts), step_H=step_H).vector)

    def look_up(self, corpus: Corpus) -> None:
        for frozen in self.model.frozen:
            if (kept := KeptTexts.made_like(corpus, frozen.made_by)) is not None:
                frozen.look_up(kept)

    def prepare_image(self, image: Image) -> dict[str, Tensor]:
        return self.tower().prepare(image)

    def _see(self, prepared: Sequence[dict[str, Tensor]]) -> NDArray[np.float32]:
        tower = self.tower()
        return tower.embed(prepared).reshape(len(prepared), -1, tower.width)

    def encode_video(self, videos: Sequence[str | Path]) -> NDArray[np.float32]:
        """[N, J] unit vectors of video files, by the frames that the feature set of the run would hold."""
        require_list(videos, "encode_video", "videos")
        if self.model.image_frames is None:
            raise UserError(
                "This model reads images. Train one on the frames of videos: dragoman features and dragoman "
                "train over a corpus that holds some"
            )
        vectors = [np.empty((0, self.width), np.float32)]
        vectors += [self.encode_features(padded([self.frame_vectors(video)[0]])) for video in videos]
        return np.concatenate(vectors)

    def frame_vectors(
        self, video: str | Path, batch_size: int = 4
    ) -> tuple[NDArray[np.float16], NDArray[np.float64]]:
        """[F, D] what the vision tower makes of the frames of a video file, and their times in seconds [F].

        `encode_features(padded([vectors[start:end]]))` is the vector of a part.
        """
        from dragoman.features.encoding import video_vectors
        from dragoman.retrievers.videos import sampling_of

        vectors, times = video_vectors(self.tower(), video, sampling_of(self), batch_size)
        return vectors.astype(np.float16), times

    def _require_vectors(self, vectors: NDArray[np.floating]) -> None:
        if self.model.image_slots is not None and vectors.shape[1:] == (self.model.packed_width,):
            return
        if self.reads_frames and vectors.ndim == 3:
            _require_frames(vectors, self.feature_width, self.config.get("features"))
        else:
            super()._require_vectors(vectors)

    @torch.inference_mode()
    def _head(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        block = torch.from_numpy(vectors).to(self.model.feature_mean.device)
        return _array(self.model.encode_image(block))

    @torch.inference_mode()
    def rerank(
        self,
        texts: Sequence[str],
        regions: NDArray[np.floating],
        pairs: NDArray[np.int64] | None = None,
        batch_size: int = 512,
    ) -> NDArray[np.float32]:
        """Score how well texts and images match by the fusion encoder: match logit less no-match logit.

        regions: [I, R, D] frozen vision vectors of the images and their regions (`FeatureSet.parts`,
        `tower_vectors`), or [I, D] where the model was trained on single vectors.
        pairs: [P, 2] rows of texts and of images; all combinations where not given.
        Returns [P], or [T, I]. Memory holds the token states of the texts and `batch_size` fused pairs.
        Raises UserError for a model without a fusion encoder, or trained on other regions.
        """
        require_list(texts, "rerank", "texts")
        model, fusion = self.model, self._require_fusion(regions)
        different, row_of_text = unique_texts(texts)
        if pairs is None:
            pairs = np.indices((len(texts), len(regions))).reshape(2, -1).T
            return self.rerank(texts, regions, pairs, batch_size).reshape(len(texts), len(regions))
        device = model.feature_mean.device
        scores = np.empty(len(pairs), np.float32)
        if not len(pairs):
            return scores
        views = model.encode_text(model.prepare(different), tokens=True)
        assert views.states is not None and views.mask is not None
        for start in range(0, len(pairs), batch_size):
            text_P, image_P = pairs[start : start + batch_size].T
            # Each image of the batch once: candidates of neighbouring queries are often the same.
            images, place_P = np.unique(image_P, return_inverse=True)
            read = np.asarray(regions[images], np.float32).reshape(len(images), -1, model.feature_width)
            read_BRD = torch.from_numpy(read).to(device)
            text_row_P = row_of_text[torch.from_numpy(text_P)].to(device)
            image_row_P = torch.from_numpy(place_P).to(device)
            image_PJ = model.encode_image(model.whole(read_BRD))[image_row_P]
            logits_P2 = fusion.match_pairs(
                views.states,
                views.mask,
                text_row_P,
                model.encode_regions(read_BRD),
                image_row_P,
                (views.vector[text_row_P] * image_PJ).sum(1),
            ).float()
            scores[start : start + batch_size] = (logits_P2[:, 1] - logits_P2[:, 0]).cpu().numpy()
        return scores

    def _require_fusion(self, regions: NDArray[np.floating]) -> Fusion:
        fusion = self.model.fusion
        if fusion is None:
            raise UserError(NO_FUSION)
        found = regions.shape[1] if regions.ndim == 3 else 1
        fits = found <= fusion.regions if fusion.frames else found == fusion.regions
        if not fits or regions.shape[-1] != self.model.feature_width:
            raise UserError(
                f"These regions have shape {regions.shape}, but the model reads [images, {fusion.regions}, "
                f"{self.model.feature_width}] of the feature set {self.config['features']!r}. Give its "
                "vectors with their regions (FeatureSet.parts)."
            )
        return fusion

    def tower(self) -> VisionTower:
        """The vision tower of the run, loaded once. Raises UserError where it is unknown or another one."""
        # Threads that prepare images ask at the same time, and a tower may fill the memory once only.
        with self._loading:
            if self._tower is None:
                self._tower = self._find_tower()
            return self._tower

    def _find_tower(self) -> VisionTower:
        from dragoman.models.vision import VisionTower

        if self.vision.get("of") == "items":
            raise UserError(
                "This model was trained on texts in the place of images, and reads no images. Train one on "
                "images: dragoman features, dragoman train"
            )
        path = self._vision or self.vision.get("path")
        if path is None:
            raise UserError(
                f"The run was trained on the vectors {self.config['features']!r} and does not know which "
                "vision tower made them. Name it: --vision FOLDER, "
                "or in Python Retriever.load(run, vision=FOLDER)"
            )
        if self._vision is None and Path(path).is_absolute() and not Path(path).is_dir():
            raise UserError(
                f"The vision tower of this run is no longer in {path}. "
                "Say where it is now: --vision FOLDER, or in Python Retriever.load(run, vision=FOLDER)"
            )
        grid = int(self.vision.get("grid", 0))
        tower = VisionTower.load(path, str(self.model.feature_mean.device), grid)
        expected = self.vision.get("fingerprint")
        if (expected and tower.fingerprint != expected) or tower.width != self.model.feature_width:
            raise UserError(
                f"{path} is not the vision tower of this run (width {tower.width}, expected "
                f"{self.model.feature_width}; or other weights or preprocessing). Give the tower that "
                f"made the feature set {self.config['features']!r}: --vision FOLDER, "
                "or in Python Retriever.load(run, vision=FOLDER)"
            )
        return tower


def _array(vectors: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = vectors.float().cpu().numpy()
    return found


def _require_frames(vectors: NDArray[np.floating], width: int, features: str | None) -> None:
    """Raise UserError unless the vectors are [N, F, width], each video with a frame or more."""
    if vectors.shape[2] != width or not 1 <= vectors.shape[1] <= MOST_FRAMES:
        raise UserError(
            f"These vectors have shape {vectors.shape}, but the model reads [N, up to {MOST_FRAMES} frames, "
            f"{width}] of the feature set {features!r}. Take them from there (FeatureSet.whole), or train a "
            "model on this one."
        )
    empty_N = np.isnan(vectors[:, 0, 0])
    if empty_N.any():
        raise UserError(
            f"Video {int(empty_N.argmax())} of {len(vectors)}, counted from 0, begins with NaN, which stands "
            "for a frame that is not there, but one frame or more was expected. Leave it out."
        )
