"""Words of any language, read as the source words that a frozen sentence encoder puts nearest to them.

A word of the source captions has an embedding of its own, and every word has its glosses: the mean of the
embeddings of the nearest source words, each by the softmax of its cosine. So what the source captions teach
of a word serves the words of all languages that the encoder knows, also those that no caption ever held, and
the words that a translation engine writes leave no trace of their own. Words of languages that the encoder
does not know are read by a lexicon, or by that of its words which begins alike.

T texts, L words of the longest text, U different words of the batch, K glosses of a word, V source words,
G source words that are glosses, H width, D width of the encoder's own vectors. How words are read is in
`glosses.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dragoman.errors import UserError
from dragoman.models.text.contract import Material, TextEncoder
from dragoman.models.text.glosses import GlossedTextConfig, Glosses
from dragoman.models.text.vectors import FrozenVectors


class GlossedText(TextEncoder):
    """A bag of words: the states are those of single words."""

    config: GlossedTextConfig
    by_length = False
    gloss_vectors: Tensor

    def __init__(self, reader: Glosses) -> None:
        """The vectors of the words that may be glosses are set afterwards."""
        super().__init__()
        self.config, self.width, self.reader, self.tokenizer = (
            reader.config,
            reader.config.width,
            reader,
            None,
        )
        self.source_words, self.gloss_words = reader.source_words, reader.gloss_words
        self.register_buffer(
            "gloss_vectors", torch.zeros(len(self.gloss_words), reader.frozen.own_width, dtype=torch.float16)
        )
        self.own = nn.Embedding(len(self.source_words) + 1, self.width, padding_idx=0)
        self.glosses = nn.Embedding(len(self.gloss_words), self.width)
        for table in (self.own, self.glosses):
            nn.init.normal_(table.weight, std=0.1)
        with torch.no_grad():
            self.own.weight[0] = 0

    @classmethod
    def fresh(cls, config: GlossedTextConfig, material: Material) -> GlossedText:
        kept = material.kept(config.features)
        frozen = FrozenVectors(kept.made_by)
        frozen.look_up(kept)
        count: Counter[str] = Counter()
        for text_words in frozen.side.words(list(material.source_texts())):
            count.update(text_words)
        # Frequent ones first; equal ones in code point order, so that a seed means the same run everywhere.
        words = sorted(count, key=lambda word: (-count[word], word))
        glosses = [word for word in words if count[word] >= config.gloss_count] or words
        if not glosses:
            raise UserError("The source captions hold no word, so there is nothing to read others as.")
        lexicon = {word.lower(): sources for word, sources in material.known.items()}
        found = cls(Glosses(config, frozen, words, glosses, lexicon))
        found.gloss_vectors.copy_(torch.from_numpy(found.reader.unit(glosses)))
        cut = (frozen.side.words(texts) for texts in _blocks(material.texts()))
        known = {word for lines in cut for line in lines for word in line}
        found.reader.remember(known, found._known())
        return found

    @property
    def lexicon(self) -> dict[str, list[int]]:
        """Rows of the glosses of words that the encoder is not asked for."""
        return self.reader.lexicon

    @property
    def frozen(self) -> FrozenVectors:
        """The encoder that words are read by."""
        return self.reader.frozen

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(words) for words in self.reader.words(texts)]

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return [share > 0 for share in self.known_shares(texts)]

    def known_shares(self, texts: Sequence[str]) -> list[float]:
        return self.reader.known_shares(texts, self._known())

    def encoder_shares(self, texts: Sequence[str]) -> list[float]:
        return self.reader.encoder_shares(texts, self._known())

    def prepare(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Tensors of `Glosses.prepare`."""
        found = self.reader.prepare(texts, self._known())
        return {name: torch.from_numpy(value) for name, value in found.items()}

    def embed(self, inputs: dict[str, Tensor]) -> Tensor:
        own_UH = self.own(inputs["own"])
        if self.training and self.config.own_dropout:
            kept_U = torch.rand(len(own_UH), device=own_UH.device) >= self.config.own_dropout
            own_UH = own_UH * kept_U.unsqueeze(1)
        glossed_UH = torch.einsum("uk,ukh->uh", inputs["shares"], self.glosses(inputs["rows"]))
        # F.embedding, not indexing: its backward sums repeated words in a fixed order.
        return F.embedding(inputs["words"], own_UH + glossed_UH)

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        if not (self.training and self.config.word_dropout):
            return embedded
        drawn_TL = torch.rand(mask.shape, device=mask.device) >= self.config.word_dropout
        kept_TL = (drawn_TL & mask).to(embedded.dtype)
        # The mean over all words is then that over those which are left.
        scale_T1 = mask.sum(1, keepdim=True) / kept_TL.sum(1, keepdim=True).clamp(min=1)
        return embedded * (kept_TL * scale_T1).unsqueeze(2)

    def save_assets(self, folder: Path) -> None:
        self.reader.save(folder)

    @classmethod
    def from_assets(cls, folder: Path) -> GlossedText:
        return cls(Glosses.load(folder))

    def _known(self) -> NDArray[np.float32]:
        known_GD: NDArray[np.float32] = self.gloss_vectors.float().cpu().numpy()
        return known_GD


def _blocks(texts: Iterable[str]) -> list[list[str]]:
    found = list(dict.fromkeys(texts))
    return [found[start : start + 4096] for start in range(0, len(found), 4096)]


Config = GlossedTextConfig
Encoder = GlossedText
