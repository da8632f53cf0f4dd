"""A small text encoder trained from scratch, which reads spelling (`spelling.py`).

A word is the mean of the embeddings of the pieces that it is read by.

T texts, L words of the longest text, U different words of the batch, P their pieces, H width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.models.text.contract import Material, TextEncoder
from dragoman.models.text.spelling import SmallTextConfig, Spelling, fit_pieces


class SmallText(TextEncoder):
    """Words as means of their pieces, then Transformer layers (pre-norm)."""

    config: SmallTextConfig
    _whole: Tensor
    _spelled: Tensor
    _label: Tensor

    def __init__(
        self,
        config: SmallTextConfig,
        vocabulary: Sequence[str],
        added: Sequence[int] = (),
        links: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.width = config.width
        self.spelling = self.tokenizer = Spelling(config, vocabulary, added, links)
        self.vocabulary = self.spelling.vocabulary
        self.added = self.spelling.added
        self.links = self.spelling.links
        whole = [False, *(piece[0] == "<" and piece[-1] == ">" for piece in vocabulary)]
        self.register_buffer("_whole", torch.tensor(whole), persistent=False)
        spelled = [False, *(len(piece) > config.shortest for piece in vocabulary)]
        self.register_buffer("_spelled", self._whole & torch.tensor(spelled), persistent=False)
        # The pieces that are whole words, most frequent first, are the words that can be predicted.
        self.register_buffer("_label", self._whole.cumsum(0).where(self._whole, 0) - 1, persistent=False)
        self.pieces = nn.EmbeddingBag(len(vocabulary) + 1, config.width, mode="sum")
        nn.init.normal_(self.pieces.weight, std=0.5)
        self.positions = nn.Embedding(config.max_words, config.width)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.width,
                config.heads,
                config.feed_forward,
                config.dropout,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.layers)
        )

    @classmethod
    def fresh(cls, config: SmallTextConfig, material: Material) -> SmallText:
        return cls.fit(material.texts(), config, material.known, material.links(config))

    @property
    def table(self) -> Tensor:
        return self.pieces.weight

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        config: SmallTextConfig,
        known: Iterable[str] = (),
        links: Mapping[str, Sequence[str]] | None = None,
    ) -> SmallText:
        """A fresh encoder whose vocabulary is fitted on `texts`, and has the words `known` in any case."""
        return cls(config, fit_pieces(texts, config, known), links=links)

    def extended(self, texts: Iterable[str], known: Iterable[str] = ()) -> SmallText:
        """A copy that also knows the pieces of `texts`, in further rows; old rows keep number and value.

        An old text is read as before: `Spelling` says which words read the new pieces.
        """
        old = set(self.vocabulary)
        new = [piece for piece in fit_pieces(texts, self.config, known) if piece not in old]
        grown = SmallText(self.config, [*self.vocabulary, *new], [*self.added, len(new)], self.links)
        weights = self.state_dict()
        weights["pieces.weight"] = torch.cat(
            [weights["pieces.weight"], grown.pieces.weight.detach()[len(self.vocabulary) + 1 :]]
        )
        grown.load_state_dict(weights)
        return grown

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return self.spelling.lengths(texts)

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return self.spelling.reads(texts)

    def known_shares(self, texts: Sequence[str]) -> list[float]:
        return self.spelling.known_shares(texts)

    def prepare(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Tensors of `Spelling.prepare`."""
        return {name: torch.from_numpy(value) for name, value in self.spelling.prepare(texts).items()}

    def embed(self, inputs: dict[str, Tensor]) -> Tensor:
        table_TL = inputs["words"]
        words_UH = self._embed_words(inputs["pieces"], inputs["sizes"])
        # F.embedding, not indexing: its backward sums repeated words in a fixed order.
        return F.embedding(table_TL, words_UH) + self.positions.weight[: table_TL.shape[1]]

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        states_TLH: Tensor = self.dropout(embedded)
        for layer in self.layers:
            states_TLH = layer(states_TLH, src_key_padding_mask=~mask)
        return states_TLH

    def labels(self, inputs: dict[str, Tensor], limit: int) -> Tensor:
        """Numbers of known words; a word is known when its own piece is, which stands first."""
        label_TL = self._word_labels(inputs)[inputs["words"]].masked_fill(~inputs["mask"], -1)
        return label_TL.masked_fill(label_TL >= limit, -1)

    def label_table(self, limit: int) -> Tensor:
        return F.embedding(self._whole.nonzero().squeeze(1)[:limit], self.pieces.weight)

    def corrupt(self, inputs: dict[str, Tensor], hidden_TL: Tensor, swapped_TL: Tensor) -> dict[str, Tensor]:
        """Hide and swap words: a hidden one is the unknown word, another one comes from the same batch."""
        pieces_P, sizes_U = inputs["pieces"], inputs["sizes"]
        others = (self._word_labels(inputs) >= 0).nonzero().squeeze(1)
        # One more word of one piece, row 0, which no known piece has: the unknown word.
        words_TL = inputs["words"].masked_fill(hidden_TL, len(sizes_U))
        drawn = torch.randint(max(1, len(others)), (int(swapped_TL.sum()),), device=words_TL.device)
        words_TL[swapped_TL] = others[drawn]
        return {
            "words": words_TL,
            "mask": inputs["mask"],
            "pieces": torch.cat([pieces_P, pieces_P.new_zeros(1)]),
            "sizes": torch.cat([sizes_U, sizes_U.new_ones(1)]),
        }

    def _word_labels(self, inputs: dict[str, Tensor]) -> Tensor:
        """[U]"""
        sizes_U = inputs["sizes"]
        label_U: Tensor = self._label[inputs["pieces"][sizes_U.cumsum(0) - sizes_U]]
        return label_U

    def save_assets(self, folder: Path) -> None:
        self.spelling.save(folder)

    @classmethod
    def from_assets(cls, folder: Path) -> SmallText:
        """The module without trained weights, from what `save_assets` wrote."""
        spelling = Spelling.load(folder)
        return cls(spelling.config, spelling.vocabulary, spelling.added, spelling.links)

    def _embed_words(self, pieces_P: Tensor, sizes_U: Tensor) -> Tensor:
        """Mean over the pieces of each word, [U, H]."""
        weights_P = torch.ones(len(pieces_P), device=pieces_P.device)
        if self.training:
            config = self.config
            share_P = torch.where(self._spelled[pieces_P], config.whole_dropout, config.piece_dropout)
            weights_P = (torch.rand_like(weights_P) >= share_P).float()
        starts_U = sizes_U.cumsum(0) - sizes_U
        word_P = torch.repeat_interleave(torch.arange(len(sizes_U), device=sizes_U.device), sizes_U)
        # The mean is over the pieces that were kept, so that a word is as long in training as in use.
        kept_U = torch.zeros(len(sizes_U), device=sizes_U.device).index_add_(0, word_P, weights_P)
        summed_UH: Tensor = self.pieces(pieces_P, starts_U, per_sample_weights=weights_P)
        return summed_UH / kept_U.clamp(min=1).unsqueeze(1)


Config = SmallTextConfig
Encoder = SmallText
