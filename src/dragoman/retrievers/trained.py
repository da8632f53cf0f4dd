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

from dragoman.media.frames import padded
from dragoman.models.dual import DualEncoder, unique_texts
from dragoman.models.folder import load_model
from dragoman.models.fusion import Fusion
from dragoman.models.identity import model_in, own_fingerprint
from dragoman.models.inputs import require_frames, require_list, require_width

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from dragoman.models.vision import VisionTower


class Retriever:
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
        """Which model it is (`models.identity`): an index is searched with the model that filled it."""
        assert self._folder is not None, "a model that was not loaded from a folder has no name"
        return own_fingerprint(self._folder)

    @property
    def width(self) -> int:
        """J."""
        return self.model.joint

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str], batch_size: int = 256) -> NDArray[np.float32]:
        """[N, J] unit vectors; equal texts are encoded once, so that they get equal vectors."""
        require_list(texts, "encode_text", "texts")
        different, row_of_text = unique_texts(texts)
        model = self.model
        # Sorted by length, a batch holds texts of similar length and its size bounds the memory.
        order = np.argsort(model.trunk.lengths(different), kind="stable")
        vectors = np.empty((len(different), self.width), np.float32)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            inputs = model.trunk.prepare([different[row] for row in rows])
            vectors[rows] = model.encode_text(inputs).vector.float().cpu().numpy()
        found: NDArray[np.float32] = vectors[row_of_text.numpy()]
        return found

    def encode_image(self, images: Sequence[str | Path | Image], batch_size: int = 32) -> NDArray[np.float32]:
        """[N, J] unit vectors of image files or PIL images, through the vision tower and the image head."""
        require_list(images, "encode_image", "images")
        vectors = [np.empty((0, self.width), np.float32)]
        for start in range(0, len(images), batch_size):
            vectors.append(self.encode_features(self.see(images[start : start + batch_size])[:, 0]))
        return np.concatenate(vectors)

    def see(self, images: Sequence[str | Path | Image]) -> NDArray[np.float16]:
        """[N, R, D] what the vision tower makes of image files or PIL images, the whole image first: what
        `rerank` takes. R is 1 where the feature set of the run has no regions."""
        from dragoman.media.images import open_image

        require_list(images, "see", "images")
        tower = self.tower()
        vectors = tower.encode([open_image(image) for image in images])
        # Features are stored as float16; the same rounding here gives the same vectors.
        return vectors.reshape(len(images), -1, tower.width).astype(np.float16)

    def encode_video(self, videos: Sequence[str | Path]) -> NDArray[np.float32]:
        """[N, J] unit vectors of video files, by the frames that the feature set of the run would hold."""
        require_list(videos, "encode_video", "videos")
        if self.model.image_frames is None:
            raise UserError(
                "This model reads images. Train one on the frames of videos: dragoman features and dragoman "
                "train over a corpus that holds some"
            )
        vectors = [np.empty((0, self.width), np.float32)]
        vectors += [self.encode_features(padded([self.watch(video)[0]])) for video in videos]
        return np.concatenate(vectors)

    def watch(
        self, video: str | Path, batch_size: int = 4
    ) -> tuple[NDArray[np.float16], NDArray[np.float64]]:
        """[F, D] what the vision tower makes of the frames of a video file, and their times in seconds [F].

        `encode_features(padded([vectors[start:end]]))` is the vector of a part.
        """
        from dragoman.features.encoding import video_vectors
        from dragoman.media.frames import Sampling

        made = self.config.get("vision")
        sampling = Sampling(**(made.get("sampling") or {}) if isinstance(made, dict) else {})
        vectors, times = video_vectors(self.tower(), video, sampling, batch_size)
        return vectors.astype(np.float16), times

    def prepare_image(self, image: Image) -> dict[str, Tensor]:
        """What `encode_prepared` takes of one RGB image (`open_image`); safe to call in several threads."""
        return self.tower().prepare(image)

    def encode_prepared(self, prepared: Sequence[dict[str, Tensor]]) -> NDArray[np.float32]:
        """[N, J] as `encode_image`, of images that were prepared ahead, in one forward pass."""
        tower = self.tower()
        vectors = tower.embed(prepared).reshape(len(prepared), -1, tower.width)[:, 0]
        with np.errstate(over="ignore"):
            return self.encode_features(vectors.astype(np.float16))

    @torch.inference_mode()
    def encode_features(self, vectors: NDArray[np.floating], batch_size: int = 1024) -> NDArray[np.float32]:
        """[N, J] unit vectors of frozen vision vectors [N, D] of the feature set the run was trained on.

        A model of videos reads [N, F, D], absent frames being NaN (`FeatureSet.whole`, `padded`), and takes
        [N, D] for videos of one frame. At most `batch_size` vectors are encoded at a time.
        """
        per_item = 1
        if self.model.image_frames is not None and vectors.ndim == 3:
            require_frames(vectors, self.model.feature_width, self.config.get("features"))
            per_item = vectors.shape[1]
        else:
            require_width(vectors, self.model.feature_width, self.config.get("features"))
        size = max(1, batch_size // per_item)
        encoded = np.empty((len(vectors), self.width), np.float32)
        for start in range(0, len(vectors), size):
            block = torch.from_numpy(np.asarray(vectors[start : start + size], np.float32))
            found = self.model.encode_image(block.to(self.model.feature_mean.device))
            encoded[start : start + size] = found.float().cpu().numpy()
        return encoded

    @property
    def reads_frames(self) -> bool:
        """Whether it is a model of videos, which encodes frames together."""
        return self.model.image_frames is not None

    @property
    def regions(self) -> int:
        """R of the images that `rerank` reads; 0 where the model has no fusion encoder."""
        return 0 if self.model.fusion is None else self.model.fusion.regions

    @torch.inference_mode()
    def rerank(
        self,
        texts: Sequence[str],
        regions: NDArray[np.floating],
        pairs: NDArray[np.int64] | None = None,
        batch_size: int = 512,
    ) -> NDArray[np.float32]:
        """How well texts and images match by the fusion encoder: match logit less no-match logit.

        regions: [I, R, D] frozen vision vectors of the images and their regions (`FeatureSet.parts`, `see`),
        or [I, D] where the model was trained on single vectors.
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
        views = model.encode_text(model.trunk.prepare(different), tokens=True)
        assert views.states is not None and views.mask is not None
        for start in range(0, len(pairs), batch_size):
            text_P, image_P = pairs[start : start + batch_size].T
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
            raise UserError(
                "This model has no fusion encoder, so it cannot re-rank. Train one: dragoman train CORPUS "
                "--recipe one_to_k --set loss.mitm_weight=1"
            )
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
        with self._loading:
            if self._tower is None:
                self._tower = self._find_tower()
            return self._tower

    def _find_tower(self) -> VisionTower:
        from dragoman.models.vision import VisionTower

        known = self.config.get("vision")
        # Vectors made by other means than a tower carry a name at most.
        trained_on = known if isinstance(known, dict) else {}
        path = self._vision or trained_on.get("path")
        if path is None:
            raise UserError(
                f"The run was trained on the vectors {self.config['features']!r} and does not know which "
                "vision tower made them. Name it: Retriever.load(run, vision=FOLDER)"
            )
        if self._vision is None and Path(path).is_absolute() and not Path(path).is_dir():
            raise UserError(
                f"The vision tower of this run is no longer in {path}. "
                "Say where it is now: Retriever.load(run, vision=FOLDER)"
            )
        grid = int(trained_on.get("grid", 0))
        tower = VisionTower.load(path, str(self.model.feature_mean.device), grid)
        expected = trained_on.get("fingerprint")
        if (expected and tower.fingerprint != expected) or tower.width != self.model.feature_width:
            raise UserError(
                f"{path} is not the vision tower of this run (width {tower.width}, expected "
                f"{self.model.feature_width}; or other weights or preprocessing). Give the tower that "
                f"made the feature set {self.config['features']!r}: Retriever.load(run, vision=FOLDER)"
            )
        return tower
