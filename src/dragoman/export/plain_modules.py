"""A model as modules of sentence-transformers' own, which load without Dragoman and without code of others.

Texts go through Transformer, Pooling and Dense, images through Transformer, Pooling where their vector is no
pooled one yet, and Dense; a Router sends each to its side, and Normalize ends both. What standardises vectors
is linear, and becomes part of the first Dense; a norm becomes part of the Dense before it.

N texts or images, D width of what a head reads, J joint width; O, I rows and columns of a matrix.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from dragoman import texts
from dragoman.errors import MissingExtraError
from dragoman.export.samples import pictures
from dragoman.folders import write_json
from dragoman.models.dual import DirectHead, DualEncoder, Head
from dragoman.models.hub import config_in, loading, model_folder, pretrained, read_json, tokenizer_in
from dragoman.models.sentences.towers import TextTower
from dragoman.models.text.frozen import FrozenText
from dragoman.models.text.huggingface import HuggingFaceText
from dragoman.models.vision import VisionTower, has_class_token, preprocessing
from dragoman.retrievers.trained import Retriever

POOLINGS = {"mean": "mean", "first": "cls", "last": "lasttoken", "max": "max"}
"""Names of the package by those of `Reading.pool`."""
FORWARD = "forward"
STATES = "last_hidden_state"
SETTINGS = "sentence_bert_config.json"
"""File in which the package describes a transformer, beside it."""
PILLOW = {"backend": "pil"} if int(transformers.__version__.split(".")[0]) >= 5 else {"use_fast": False}
"""Images are prepared as Dragoman prepares them; torchvision, where it is installed, scales otherwise."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A linear map, and a ReLU behind it or none; of this alone heads are made."""

    matrix: Tensor
    """[O, I], in float64, so that what is folded into it is rounded once."""
    added: Tensor
    """[O]"""
    relu: bool = False

    @classmethod
    def of(cls, linear: nn.Linear) -> Layer:
        """Copy a linear layer."""
        weight_OI = linear.weight.detach().double()
        bias = torch.zeros(len(weight_OI)) if linear.bias is None else linear.bias.detach()
        return cls(matrix=weight_OI, added=bias.double())

    def after(self, mean_I: Tensor, scale_I: Tensor) -> Layer:
        """Take over that what it reads is standardised: (x - mean) * scale."""
        weight_OI = self.matrix * scale_I.double()
        return replace(self, matrix=weight_OI, added=self.added - weight_OI @ mean_I.double())

    def normed(self, norm: nn.BatchNorm1d) -> Layer:
        """Take over a norm that stands behind it."""
        assert norm.running_mean is not None and norm.running_var is not None
        scale_O = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
        return replace(
            self,
            matrix=self.matrix * scale_O.unsqueeze(1),
            added=(self.added - norm.running_mean.double()) * scale_O + norm.bias.detach().double(),
        )


def obstacle(model: DualEncoder) -> str | None:
    """Say what of the text side the package's own modules have no place for; None where there is nothing."""
    trunk, config = model.trunk, model.config
    if model.hubness is not None and model.hubness.used:
        return "its scores have hubness taken out (dual.hubness)"
    if model.sentence is not None:
        return "it reads a text twice, as a sentence and by its words"
    if config.text_head == "attention":
        return "it has an attention layer of its own (dual.text_head=attention)"
    if config.pool == "all":
        return "it averages over padding (dual.pool=all)"
    if type(trunk) is HuggingFaceText:
        return _not_loaded(trunk.trunk)
    if type(trunk) is not FrozenText:
        return "its text encoder is Dragoman's own"
    side = trunk.frozen.side
    if not isinstance(side, TextTower) or side.reading.pool not in POOLINGS:
        return f"its sentence encoder {trunk.frozen.made_by['path']} is no model of transformers"
    return _not_loaded(side.trunk)


def _not_loaded(trunk: Any) -> str | None:
    if type(trunk) is transformers.AutoModel._model_mapping.get(type(trunk.config), None):
        return None
    return f"transformers has no model of its own for its text encoder ({type(trunk).__name__})"


def sees(model: DualEncoder) -> bool:
    """Tell whether the package's own modules have a place for all of the image side."""
    return model.image_frames is None and model.image_slots is None


def vision_half(folder: Path) -> Any:
    """Find the class by which AutoModel loads the vision half of a tower alone; None where it has none."""
    config = config_in(folder)
    return transformers.AutoModel._model_mapping.get(type(getattr(config, "vision_config", config)), None)


def write(retriever: Retriever, folder: Path, *, vision: str | None) -> None:
    """Write both sides, or texts alone where `vision`, the folder of the vision tower, is None."""
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Normalize, Router
    except ImportError:
        raise MissingExtraError(
            "sentence-transformers", "export", "Exporting a model to sentence-transformers"
        ) from None
    with tempfile.TemporaryDirectory() as scratch, loading(folder, "export"):
        text, prompt = _text_modules(retriever.model, Path(scratch) / "text")
        modules = [*text, Normalize()]
        if vision is not None:
            image = _image_modules(retriever.model, vision, Path(scratch) / "image")
            routes = {(None, side): side for side in ("text", "image")}
            modules = [Router({"text": text, "image": image}, route_mappings=routes), Normalize()]
        prompts = dict.fromkeys(("text", "query", "document"), prompt) if prompt else {}
        made = SentenceTransformer(
            modules=modules,
            device="cpu",
            prompts=prompts,
            default_prompt_name="text" if prompt else None,
            similarity_fn_name="cosine",
        )
        made.save_pretrained(str(folder), create_model_card=False)
    for file in folder.rglob(SETTINGS):
        _complete(file)


def _complete(file: Path) -> None:
    """Let the package load what lies beside a file as it was loaded here."""
    said = read_json(file)
    if "image" in said["modality_config"]:
        said["processor_kwargs"] = PILLOW
    kind = transformers.AutoModel._model_mapping[type(config_in(file.parent))]
    states = all(one["method_output_name"] == STATES for one in said["modality_config"].values())
    if states and "add_pooling_layer" in signature(kind).parameters:
        # It is not called, and would be warned of: its weights are not stored.
        said["model_kwargs"] = {"add_pooling_layer": False}
    write_json(file, said)


def read(
    folder: Path, given: Iterable[Sequence[str]], images: Sequence[Any]
) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
    """Load the folder as its users do; the vectors of texts, and of images [N, J]."""
    from sentence_transformers import SentenceTransformer

    with loading(folder, "model of sentence-transformers"):
        model = SentenceTransformer(str(folder), device="cpu", trust_remote_code=False, local_files_only=True)

        def encode(inputs: Sequence[Any]) -> NDArray[np.float32]:
            found: NDArray[np.float32] = model.encode(list(inputs), show_progress_bar=False)
            return found

        none = np.empty((0, model.get_embedding_dimension()), np.float32)
        return [encode(some) for some in given], encode(images) if len(images) else none


@torch.inference_mode()
def unrounded(
    retriever: Retriever, given: Iterable[Sequence[str]], tower: VisionTower | None, images: Sequence[Any]
) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
    """Encode as the model does, but for the float16 in which vectors of frozen encoders are stored."""
    model = retriever.model

    def encode(some: Sequence[str]) -> NDArray[np.float32]:
        inputs = model.prepare(some)
        if isinstance(model.trunk, FrozenText):
            vectors = model.trunk.frozen.side.encode(some)[:, : model.trunk.width]
            inputs["vectors"] = torch.from_numpy(vectors).unsqueeze(1)
        found: NDArray[np.float32] = model.encode_text(inputs).vector.numpy()
        return found

    seen = np.empty((0, retriever.width), np.float32)
    if tower is not None:
        vectors = tower.encode(images).reshape(len(images), -1, tower.width)[:, 0]
        seen = retriever.encode_features(vectors)
    return [encode(some) for some in given], seen


def _text_modules(model: DualEncoder, scratch: Path) -> tuple[list[nn.Module], str]:
    """Modules of the text side, and what stands before every text."""
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    trunk, before = model.trunk, list[nn.Module]()
    longest: int | None
    if isinstance(trunk, HuggingFaceText):
        model_of, tokenizer, longest = trunk.trunk, trunk.tokenizer, trunk.max_length
        pool, prefix, folded, lowercase = "mean", trunk.config.prefix, True, False
        standard = (trunk.state_mean, trunk.state_scale) if trunk.config.standardise else None
    else:
        assert isinstance(trunk, FrozenText) and isinstance(trunk.frozen.side, TextTower)
        side, standard = trunk.frozen.side, (trunk.vector_mean, trunk.vector_scale)
        model_of, tokenizer, reading = side.trunk, side.tokenizer, side.reading
        longest, pool, prefix = reading.longest, reading.pool, reading.prefix
        folded, lowercase = reading.folded, reading.lowercase
        for part in side.head:
            before += [Normalize()] if part is F.normalize else _dense_of(part)
    if isinstance(trunk, HuggingFaceText) and trunk.projection is not None:
        pool, head = "last", [Layer.of(trunk.projection)]
    else:
        assert isinstance(model.text_head, DirectHead)
        head = _direct(model.text_head)
    if standard is not None:
        head[0] = head[0].after(*standard)

    model_of.save_pretrained(scratch)
    tokenizer.save_pretrained(scratch)
    copy = tokenizer_in(scratch)
    if folded:
        read_alike(copy, lowercase)
    copy.model_max_length = min(longest or copy.model_max_length, copy.model_max_length)
    copy.save_pretrained(scratch)
    text = Transformer(
        str(scratch),
        modality_config={"text": {"method": FORWARD, "method_output_name": STATES}},
        module_output_name="token_embeddings",
        model_kwargs={"dtype": torch.float32},
    )
    pooled = Pooling(model_of.config.hidden_size, pooling_mode=POOLINGS[pool])
    return [text, pooled, *before, *map(_dense, head)], prefix


def _image_modules(model: DualEncoder, vision: str, scratch: Path) -> list[nn.Module]:
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    head = [] if model.image_head is None else _chain([model.image_trunk, model.image_head])
    if head and not model.config.image_unit:
        head[0] = head[0].after(model.feature_mean, model.feature_scale)
    folder = model_folder(vision)
    kind = vision_half(folder)
    assert kind is not None
    half, missing = pretrained(kind, folder)
    whole = VisionTower.load(folder)
    half.eval().save_pretrained(scratch)
    write_json(scratch / "preprocessor_config.json", preprocessing(folder))
    with torch.inference_mode():
        seen = half(**whole.prepare(pictures()[0])).get("pooler_output")
    # One whose weights are not there would be random.
    pooled = seen is not None and not any("pooler" in name for name in missing)
    # Maps of convolutional towers become states; a pooled one is a map of one place.
    mapped = seen is not None and seen.ndim == 4
    image = Transformer(
        str(scratch),
        modality_config={
            "image": {"method": FORWARD, "method_output_name": "pooler_output" if pooled else STATES}
        },
        module_output_name="sentence_embedding" if pooled and not mapped else "token_embeddings",
        model_kwargs={"dtype": torch.float32},
        processor_kwargs=PILLOW,
    )
    found: list[nn.Module] = [image]
    if mapped or not pooled:
        first = not mapped and has_class_token(half)
        found.append(
            Pooling(
                half.config.hidden_size if first else whole.width, pooling_mode="cls" if first else "mean"
            )
        )
    # Joint towers and halves that were saved with their projection end in it; AutoModel leaves it out.
    if (projection := getattr(whole.model, "visual_projection", None)) is not None:
        found.append(_dense(Layer.of(projection)))
    if model.config.image_unit:
        found.append(Normalize())
    return [*found, *map(_dense, head)]


def read_alike(tokenizer: Any, lowercase: bool) -> None:
    """Let a tokenizer do itself what `texts.legible` does before it, as far as it can.

    It cannot tell a text in capitals from others, nor put plain letters in the place of other forms of them.
    A tokenizer without a fast form stays as it is.
    """
    from tokenizers import Regex, normalizers

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return
    steps: list[Any] = [
        normalizers.NFC(),
        normalizers.Replace(Regex(f"{texts.INVISIBLE.pattern}|{texts.TATWEEL}"), ""),
        normalizers.NFC(),
        normalizers.Replace(Regex(texts.CURLY.pattern), "'"),
    ]
    if lowercase:
        steps.append(normalizers.Lowercase())
    own = backend.normalizer
    backend.normalizer = normalizers.Sequence(steps if own is None else [*steps, own])


def _direct(head: DirectHead) -> list[Layer]:
    """Layers of a head on the vector of a text."""
    if not head.residual:
        return _chain([*([] if head.hidden is None else [head.hidden]), head.head])
    assert head.hidden is not None
    (hidden,), (last,) = _chain([head.hidden]), _chain([head.head])
    width = hidden.matrix.shape[1]
    # What is read beside the hidden layer passes the ReLU as two halves, of which one is always 0.
    passed_II = torch.eye(width, dtype=torch.float64)
    beside_OI, hidden_OI = last.matrix[:, :width], last.matrix[:, width:]
    return [
        Layer(
            matrix=torch.cat([hidden.matrix, passed_II, -passed_II]),
            added=torch.cat([hidden.added, torch.zeros(2 * width)]),
            relu=True,
        ),
        replace(last, matrix=torch.cat([hidden_OI, beside_OI, -beside_OI], dim=1)),
    ]


def _chain(parts: Iterable[nn.Module]) -> list[Layer]:
    """Layers of what is computed one after the other."""
    found: list[Layer] = []
    for part in _single(parts):
        if isinstance(part, nn.Linear):
            found.append(Layer.of(part))
        elif isinstance(part, nn.BatchNorm1d):
            found[-1] = found[-1].normed(part)
        elif isinstance(part, nn.ReLU):
            found[-1] = replace(found[-1], relu=True)
        else:
            assert isinstance(part, nn.Dropout | nn.Identity), type(part)
    return found


def _single(parts: Iterable[nn.Module]) -> Iterator[nn.Module]:
    for part in parts:
        if isinstance(part, nn.Sequential):
            yield from _single(part)
        elif isinstance(part, Head):
            yield from (part.linear, part.norm, part.dropout)
        else:
            yield part


def _dense(layer: Layer) -> nn.Module:
    width, read = layer.matrix.shape
    return _made(read, width, nn.ReLU() if layer.relu else nn.Identity(), layer.matrix, layer.added)


def _dense_of(part: Any) -> list[nn.Module]:
    """Modules of a linear layer of a sentence encoder, with its activation or without one."""
    linear, activation = (part, nn.Identity()) if isinstance(part, nn.Linear) else part
    layer = Layer.of(linear)
    return [_made(linear.in_features, linear.out_features, activation, layer.matrix, layer.added)]


def _made(read: int, width: int, activation: nn.Module, weight_OI: Tensor, bias_O: Tensor) -> nn.Module:
    from sentence_transformers.sentence_transformer.modules import Dense

    made: nn.Module = Dense(
        read,
        width,
        activation_function=activation,
        init_weight=weight_OI.float().contiguous(),
        init_bias=bias_O.float(),
    )
    return made
