"""The fusion encoder, and how text encoders hide words for it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny_duals import FEATURES, TEXTS, dual, small_text
from tiny_encoders import save_encoder
from torch import Tensor

from dragoman.errors import UserError
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.fusion import Fusion, FusionConfig, WordHead
from dragoman.models.text.huggingface import HuggingFaceText, HuggingFaceTextConfig
from dragoman.models.text.small import SmallText
from dragoman.models.text.spelling import words

H, R, D = 8, 3, 5


def fusion(**settings: object) -> Fusion:
    torch.manual_seed(1)
    config = FusionConfig(**{"layers": 2, "heads": 2, "feed_forward": 6} | settings)  # type: ignore[arg-type]
    return Fusion(config, H, regions=R, region_width=D).eval()


def norm(module: torch.nn.Module, x: Tensor) -> Tensor:
    return F.layer_norm(x, (H,), module.weight, module.bias)


def attend(module: torch.nn.MultiheadAttention, query: Tensor, memory: list[Tensor]) -> Tensor:
    """Multi-head attention of one token, head by head."""
    (wq, wk, wv), (bq, bk, bv) = module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3)
    q, keys, values = wq @ query + bq, [wk @ m + bk for m in memory], [wv @ m + bv for m in memory]
    size, heads = H // module.num_heads, []
    for head in range(module.num_heads):
        part = slice(head * size, (head + 1) * size)
        score = torch.stack([q[part] @ key[part] for key in keys]) / math.sqrt(size)
        heads.append(sum(share * value[part] for share, value in zip(score.softmax(0), values, strict=True)))
    return module.out_proj(torch.cat(heads))


def fused_slowly(module: Fusion, states: list[Tensor], memory: list[Tensor]) -> list[Tensor]:
    """One text of real tokens only, token by token."""
    for layer in module.layers:
        normed = [norm(layer.norm1, x) for x in states]
        states = [x + attend(layer.self_attn, n, normed) for x, n in zip(states, normed, strict=True)]
        states = [x + attend(layer.multihead_attn, norm(layer.norm2, x), memory) for x in states]
        states = [x + layer.linear2(F.gelu(layer.linear1(norm(layer.norm3, x)))) for x in states]
    return [norm(module.norm, x) for x in states]


@torch.no_grad()
def test_fusing_is_self_attention_then_cross_attention_then_feed_forward() -> None:
    module = fusion()
    states, regions = torch.randn(2, 4, H), torch.randn(2, R, D)
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    memory = module.read(regions)
    expected_memory = [
        norm(module.region_in[1], module.region_in[0](regions[1, r])) + module.places[r] for r in range(R)
    ]
    torch.testing.assert_close(memory[1], torch.stack(expected_memory))
    found = module(states, mask, memory)
    for row, length in enumerate((4, 2)):
        slow = fused_slowly(module, list(states[row, :length]), list(memory[row]))
        torch.testing.assert_close(found[row, :length], torch.stack(slow), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("pool", ["mean", "first"])
def test_the_match_head_reads_the_mean_of_real_tokens_or_the_first(pool: str) -> None:
    module = fusion(pool=pool)
    fused, mask = torch.randn(1, 3, H), torch.tensor([[True, True, False]])
    pooled = (fused[0, 0] + fused[0, 1]) / 2 if pool == "mean" else fused[0, 0]
    first, norm_, _, last = module.match_head
    hidden = F.gelu(F.layer_norm(first(pooled), (2 * H,), norm_.weight, norm_.bias))
    torch.testing.assert_close(module.match(fused, mask)[0], last(hidden))


@torch.no_grad()
def test_the_word_head_decodes_by_the_vectors_of_the_words() -> None:
    torch.manual_seed(0)
    table = 0.5 * torch.randn(7, 6)
    head, fused = WordHead(H, table), torch.randn(2, H)
    hidden = F.layer_norm(F.gelu(head.dense(fused)), (6,), head.norm.weight, head.norm.bias)
    torch.testing.assert_close(head(fused, table)[1, 3], hidden[1] @ table[3])
    torch.testing.assert_close(head.norm.weight, torch.full((6,), float(1 / (table.std() * math.sqrt(6)))))


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"layers": 0}, "fusion.layers must be at least 1"), ({"dropout": 1.0}, r"fusion.dropout must lie in")],
)
def test_a_config_that_makes_no_sense_is_refused(settings: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        FusionConfig(**settings)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"dual.hidden 9 must be a multiple of fusion.heads 2"):
        Fusion(FusionConfig(heads=2), 9, regions=1, region_width=2)


def with_fusion(regions: int = 2) -> DualEncoder:
    trunk = small_text()
    shape = DualConfig(joint=16, hidden=16, heads=2, key_width=8)
    return DualEncoder(shape, trunk, FEATURES, fusion=FusionConfig(layers=1, heads=2), regions=regions).eval()


def test_the_dual_encoder_begins_alike_with_and_without_fusion() -> None:
    plain, fused = dual().state_dict(), with_fusion().state_dict()
    for name, value in plain.items():
        torch.testing.assert_close(fused[name], value, rtol=0, atol=0)
    assert {name.split(".")[0] for name in fused.keys() - plain.keys()} == {"fusion", "word_head"}


@torch.no_grad()
def test_regions_are_standardised_as_the_vectors_of_whole_images() -> None:
    model = with_fusion()
    model.fit_features(torch.arange(12.0), torch.full((12,), 2.0))
    regions = torch.randn(3, 2, FEATURES)
    assert model.fusion is not None
    expected = model.fusion.read((regions - torch.arange(12.0)) / 2)
    torch.testing.assert_close(model.encode_regions(regions), expected)


@torch.no_grad()
def test_token_states_are_those_whose_mean_the_text_head_reads() -> None:
    model = dual()
    views = model.encode_text(model.trunk.prepare(TEXTS), tokens=True)
    assert views.states is not None and views.mask is not None
    for row in range(len(TEXTS)):
        mean = views.states[row][views.mask[row]].mean(0)
        torch.testing.assert_close(model.text_head(mean[None])[0], views.vector[row])


class TestSmall:
    texts = ("dog dog dog cat", "dog cat zebra", "cat dog ball")

    def trunk(self) -> SmallText:
        from tiny_duals import small_config

        torch.manual_seed(0)
        # The vocabulary knows what occurs twice: dog and cat, but neither zebra nor ball.
        return SmallText.fit(self.texts, small_config(min_count=2)).eval()

    def test_labels_number_the_known_words_by_frequency(self) -> None:
        trunk = self.trunk()
        inputs = trunk.prepare(self.texts)
        assert trunk.labels(inputs, 10).tolist() == [[0, 0, 0, 1], [0, 1, -1, -1], [1, 0, -1, -1]]
        assert trunk.labels(inputs, 1).tolist() == [[0, 0, 0, -1], [0, -1, -1, -1], [-1, 0, -1, -1]]

    def test_the_table_holds_the_pieces_that_are_these_words(self) -> None:
        trunk = self.trunk()
        row = {piece: at for at, piece in enumerate(trunk.vocabulary, start=1)}
        expected = trunk.pieces.weight[[row["<dog>"], row["<cat>"]]]
        torch.testing.assert_close(trunk.label_table(10), expected)
        torch.testing.assert_close(trunk.label_table(1), expected[:1])

    @torch.no_grad()
    def test_hidden_words_are_the_unknown_one_and_the_rest_stays(self) -> None:
        trunk = self.trunk()
        inputs = trunk.prepare(self.texts)
        hidden = torch.zeros(3, 4, dtype=torch.bool)
        hidden[0, 3] = hidden[2, 0] = hidden[2, 1] = True
        found = trunk.embed(trunk.corrupt(inputs, hidden, torch.zeros_like(hidden)))
        before = trunk.embed(inputs)
        unknown = trunk.pieces.weight[0] + trunk.positions.weight[:4]
        torch.testing.assert_close(found, torch.where(hidden[..., None], unknown, before))
        assert not torch.equal(found, before)

    def test_swapped_words_become_known_words_of_the_batch(self) -> None:
        trunk = self.trunk()
        inputs = trunk.prepare(self.texts)
        numbered = list(dict.fromkeys(word for text in self.texts for word in words(text)))
        swapped = torch.zeros(3, 4, dtype=torch.bool)
        swapped[1, 0] = swapped[1, 2] = True
        seen: set[str] = set()
        for _ in range(50):
            found = trunk.corrupt(inputs, torch.zeros_like(swapped), swapped)
            read = [numbered[word] for word in found["words"][1, :3].tolist()]
            assert read[1] == "cat"
            seen |= {read[0], read[2]}
            assert found["mask"].equal(inputs["mask"])
        assert seen == {"dog", "cat"}
        assert inputs["words"].equal(trunk.prepare(self.texts)["words"])


class TestHuggingFace:
    def trunk(self, folder: Path) -> HuggingFaceText:
        return HuggingFaceText.load(HuggingFaceTextConfig(path=str(save_encoder(folder, "bert"))))

    def test_special_tokens_and_padding_have_no_label(self, tmp_path: Path) -> None:
        trunk = self.trunk(tmp_path)
        inputs = trunk.prepare(["a dog runs", "the unheard grass"])
        ids = {
            word: trunk.tokenizer.convert_tokens_to_ids(word) for word in ("a", "dog", "runs", "the", "grass")
        }
        expected = [[-1, ids["a"], ids["dog"], ids["runs"], -1], [-1, ids["the"], -1, ids["grass"], -1]]
        assert trunk.labels(inputs, 1).tolist() == expected

    def test_the_table_is_that_of_the_word_embeddings(self, tmp_path: Path) -> None:
        trunk = self.trunk(tmp_path)
        expected = trunk.trunk.embeddings.word_embeddings.weight
        torch.testing.assert_close(trunk.label_table(1), expected)

    def test_hidden_tokens_are_masked_and_swapped_ones_ordinary(self, tmp_path: Path) -> None:
        trunk = self.trunk(tmp_path)
        tokenizer = trunk.tokenizer
        inputs = trunk.prepare(["a dog runs", "the grass"])
        hidden, swapped = torch.zeros(2, 2, 5, dtype=torch.bool)
        hidden[0, 1] = swapped[0, 2] = True
        seen = set()
        for _ in range(200):
            found = trunk.corrupt(inputs, hidden, swapped)["input_ids"][0]
            # These tiny tokenizers have no mask token, so that the unknown one stands in.
            assert found[1] == tokenizer.unk_token_id
            assert found[[0, 3, 4]].equal(inputs["input_ids"][0, [0, 3, 4]])
            seen.add(int(found[2]))
        assert not seen & set(tokenizer.all_special_ids)
        assert seen == set(range(4, len(tokenizer)))

    def test_a_mask_token_is_used_where_there_is_one(self, tmp_path: Path) -> None:
        trunk = self.trunk(tmp_path)
        trunk.tokenizer.mask_token = "green"
        hidden = torch.tensor([[False, True, False, False, False]])
        inputs = trunk.prepare(["a dog runs"])
        found = trunk.corrupt(inputs, hidden, torch.zeros_like(hidden))
        assert found["input_ids"][0, 1] == trunk.tokenizer.convert_tokens_to_ids("green")

    def test_without_mask_and_unknown_token_words_cannot_be_hidden(self, tmp_path: Path) -> None:
        trunk = self.trunk(tmp_path)
        trunk.tokenizer.unk_token = None
        hidden = torch.tensor([[False, True, False, False, False]])
        with pytest.raises(UserError, match="neither a mask nor an unknown token"):
            trunk.corrupt(trunk.prepare(["a dog runs"]), hidden, torch.zeros_like(hidden))
