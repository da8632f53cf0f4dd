"""A training step of the released code of NRCCR beside ours, in processor seconds of one run.

    python benchmarks/noisy_translation/authors_step.py --data DIR --layers 6 --trained 2-5
    python benchmarks/noisy_translation/authors_step.py --data DIR --layers 12 --trained 10-11

DIR is the folder `flickr8k_multilingual`. The step of the authors is written anew here from what their code
does (HuiGuanLab/nrccr at 5628a90: model.py, transformer_cross.py, loss.py, adv.py), on a BERT of random
weights that both sides share. Before anything is timed, both compute the loss of one batch with the same
weights and without dropout, which must agree. Then they take the same steps in turns. Theirs gets its batches
tokenised and its images looked up for nothing; ours does both within the step. Rows with states kept read
what the first trained layer reads from disk, as `dragoman features --texts --below-last` keeps it once for
all epochs; what that took is printed. Prints a table.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.corpus import Corpus
from dragoman.features.texts import TextOptions, extract_texts
from dragoman.objectives.nrccr import NRCCR
from dragoman.pipelines.experiment import captions_corpus
from dragoman.recipes import load_recipe
from dragoman.training import TrainConfig
from dragoman.training.augment import load_augmentation
from dragoman.training.batches import Step, StepPlan
from dragoman.training.samples import load_samples
from dragoman.training.step import TrainState

MARGIN, TEMPERATURE, CLIP = 0.2, 0.07, 2.0
SIDES = {"source": (0, False), "target": (1, False), "back": (0, True)}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = 4000
TARGET, FEATURES, STATES = "pt", "mobilenet_v2", "states"
ENGINE, BACK = "apertium:eng-spa|es-pt", "apertium:pt-es|spa-eng"
LAST = "15"
"""Photos whose name stands before this take part."""
Texts = tuple[Tensor, Tensor]
"""Token ids and mask [N, L] of one side, padded to its own longest text."""


def main() -> None:
    """Compare, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=64, help="triples a step")
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--trained", default="2-5", help="layers that learn, from 0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        corpus = small_corpus(options.data, Path(folder))
        found = Corpus.open(corpus).translations(source="en", target=TARGET, split="train")
        texts = [*found.source_text, *found.mt_text, *(text or "" for text in found.back_text)]
        encoder = save_bert(Path(folder, "bert"), texts, options.width, options.layers)
        below, started = options.layers - int(options.trained.partition("-")[0]), time.process_time()
        extract_texts(corpus, encoder=encoder, name=STATES, options=TextOptions(below_last=below))
        took = time.process_time() - started
        print(f"{len(texts) / took:.0f} captions / CPU s when states are kept, once.\n")
        measure(Corpus.open(corpus), encoder, options)


def small_corpus(data: Path, folder: Path) -> Path:
    """A corpus of the training captions of some photos, their translations and the ways back: states are
    kept of as many texts as the steps here can draw, and not of all."""

    def wanted(caption: Mapping[str, str]) -> bool:
        if caption["split"] != "train" or caption["item_id"] >= LAST:
            return False
        if caption["role"] == "human":
            return caption["lang"] == "en"
        return caption["engine"] == {TARGET: ENGINE, "en": BACK}.get(caption["lang"])

    return captions_corpus(data, folder / "corpus", wanted, features=FEATURES)


def measure(corpus: Corpus, encoder: Path, options: argparse.Namespace) -> None:
    """Print the table."""
    settings = {
        "text": f"hf:{encoder}",
        "text.layers": options.trained,
        "dual.hidden": str(options.width),
        "batch_size": str(options.batch),
        "back_share": "1",
    }
    shape = {"dual.joint": "1536", "dual.heads": "8", "dual.key_width": "512", "word_dropout": "0"}
    where = ("en", (TARGET,), FEATURES)
    released = load_recipe("nrccr_released")(*where).with_settings(settings)
    clean = load_recipe("nrccr")(*where).with_settings(settings | shape)
    theirs, ours = losses(corpus, released)
    print(f"Loss of a batch, same weights, no dropout: theirs {theirs:.6f}, ours {ours:.6f}\n")
    kept = clean.with_settings({"text.states": STATES})
    pairs = (first_step(corpus, config) for config in (clean, kept))
    whole, read = (state.take_step(step, 1.0)["total"].item() for state, step in pairs)
    print(f"The same of nrccr: {whole:.6f}, from kept states {read:.6f}\n")
    # The released form reads the states of padding as well, which nobody keeps.
    names = {"nrccr_released": released, "nrccr": clean, "nrccr, states kept": kept}
    states = {
        name: TrainState(config, corpus, *planned(corpus, config)[:1]) for name, config in names.items()
    }
    plans = {name: planned(corpus, config)[1] for name, config in names.items()}
    authors = Authors.of(states["nrccr_released"])
    seconds: dict[str, list[float]] = {"authors": [], **{name: [] for name in names}}
    tokens, places = 0, 0
    # The first step of each brings the memory of its optimizer.
    for number in range(options.rounds + 1):
        step = plans["nrccr_released"].step(number)
        images, sides = batch_of(states["nrccr_released"], step)
        tokens += sum(int(mask.sum()) for _, mask in sides)
        places += sum(mask.numel() for _, mask in sides)
        seconds["authors"].append(timed(lambda: authors.take_step(images, sides)))  # noqa: B023
        for name, state in states.items():
            own = plans[name].step(number)
            seconds[name].append(timed(lambda: state.take_step(own, 1.0)))  # noqa: B023
    print(f"{tokens / places:.0%} of the authors' padded tokens are real.\n")
    print("| step | CPU s | captions / CPU s | authors / this, paired: median (range) |\n|---|---|---|---|")
    for name, each in seconds.items():
        own = each[1:]
        ratios = sorted(theirs / mine for theirs, mine in zip(seconds["authors"][1:], own, strict=True))
        median = statistics.median(own)
        ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"| {name} | {median:.2f} | {3 * options.batch / median:.0f} | {ratio} |")


def timed(work: Any) -> float:
    """CPU seconds."""
    started = time.process_time()
    work()
    return time.process_time() - started


def planned(corpus: Corpus, config: TrainConfig) -> tuple[Any, StepPlan]:
    """What a run learns from, and its steps."""
    samples = load_samples(corpus, config, back=True)
    augmentation = load_augmentation(corpus, config)
    return samples, StepPlan(samples=samples, config=config, back=True, augmentation=augmentation)


def batch_of(state: TrainState, step: Step) -> tuple[Tensor, list[Texts]]:
    """The batch of a step as their loader gives it: an image for each pair [N, D], and three sides."""
    batch, sides = step.batch, []
    for lang, back in SIDES.values():
        texts = [step.texts[row] for row in step.row_of_text[batch.rows(lang, back=back)].tolist()]
        prepared = state.model.trunk.prepare(texts)
        sides.append((prepared["input_ids"], prepared["mask"]))
    images = state.encoder.on_device(state.encoder.vectors(step.items))
    return images[batch.item[batch.rows(0)]], sides


def losses(corpus: Corpus, config: TrainConfig) -> tuple[float, float]:
    """The loss of a step, theirs and ours, with the same weights and without dropout."""
    state, step = first_step(corpus, config)
    authors = Authors.of(state, dropout=0.0, head_dropout=0.0)
    return authors.take_step(*batch_of(state, step)), state.take_step(step, 1.0)["total"].item()


def first_step(corpus: Corpus, config: TrainConfig) -> tuple[TrainState, Step]:
    """A model without dropout, and the first step of as many images as triples: one that stands there twice
    is two rows of their BatchNorm, and one of ours."""
    config = without_dropout(config)
    samples, plan = planned(corpus, config)
    state = TrainState(config, corpus, samples)
    still(state)
    steps = (plan.step(number) for number in range(1000))
    return state, next(step for step in steps if len(step.items) == config.batch_size)


def without_dropout(config: TrainConfig) -> TrainConfig:
    """Two ways of computing would draw differently."""
    return replace(config, dual=replace(config.dual, dropout=0.0, head_dropout=0.0))


def still(state: TrainState) -> None:
    """Switch off the dropout of BERT."""
    for part in state.model.trunk.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0


def save_bert(folder: Path, texts: Iterable[str], width: int, layers: int) -> Path:
    """A BERT of random weights, and a tokenizer that throws case and accents away as theirs does."""
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": token for name, token in names.items()}
    ).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": max(1, width // 64)}
    config = transformers.BertConfig(
        vocab_size=tokenizer.get_vocab_size(), intermediate_size=4 * width, pad_token_id=0, **shape
    )
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Weights:
    """Weights of the losses."""

    target: float = 0.6
    similarity: float = 0.4
    feature: float = 0.1
    cycle: float = 0.5
    adversary: float = 0.001


class Authors(nn.Module):
    """What their code trains: text side, image side, discriminator; and how it takes a step."""

    def __init__(
        self, bert: nn.Module, shape: Mapping[str, int], dropout: float, head_dropout: float
    ) -> None:
        super().__init__()
        width, hidden, joint = (shape[name] for name in ("width", "hidden", "joint"))
        self.heads, self.drop, self.head_drop = shape["heads"], dropout, head_dropout
        self.bert = bert
        self.enter_norm, self.enter = nn.LayerNorm(width), nn.Linear(width, hidden)
        self.positions, self.position_norm = nn.Embedding(shape["positions"], hidden), nn.LayerNorm(hidden)
        self.query, self.key = (nn.Linear(hidden, shape["key_width"]) for _ in range(2))
        self.value, self.out = (nn.Linear(hidden, hidden) for _ in range(2))
        self.out_norm = nn.LayerNorm(hidden)
        self.text_map, self.text_norm = nn.Linear(hidden, joint), nn.BatchNorm1d(joint)
        seen = shape["features"]
        self.image_hidden, self.image_map = nn.Linear(seen, seen), nn.Linear(seen, joint)
        self.image_norm = nn.BatchNorm1d(joint)
        self.judge = nn.Sequential(
            nn.Linear(width, 256), nn.Tanh(), nn.Linear(256, 128), nn.Tanh(), nn.Linear(128, 2)
        )
        self.weights = Weights()

    @classmethod
    def of(cls, state: TrainState, dropout: float = 0.1, head_dropout: float = 0.2) -> Authors:
        """The same model as ours, with the same weights; each trains its own copy."""
        import copy

        ours, dual = state.model, state.model.config
        shape = {"width": ours.trunk.width, "hidden": dual.hidden, "joint": dual.joint, "heads": dual.heads}
        shape |= {"positions": dual.positions, "key_width": dual.key_width, "features": ours.feature_width}
        made = cls(copy.deepcopy(ours.trunk.trunk), shape, dropout, head_dropout)
        for name, part in made.counterparts(state).items():
            getattr(made, name).load_state_dict(part.state_dict())
        judged = set(map(id, made.judge.parameters()))
        made.trained = [w for w in made.parameters() if w.requires_grad and id(w) not in judged]
        made.optimizer = torch.optim.Adam(made.trained, lr=1e-4)
        made.judge_optimizer = torch.optim.Adam(made.judge.parameters(), lr=1e-3)
        return made.train()

    @staticmethod
    def counterparts(state: TrainState) -> dict[str, Any]:
        """Our modules by the names of theirs, but for BERT."""
        ours, objective = state.model, state.objective
        assert isinstance(objective, NRCCR) and objective.discriminator is not None
        return {
            "enter_norm": ours.project[0],
            "enter": ours.project[2],
            "positions": ours.positions,
            "position_norm": ours.position_norm,
            **{name: getattr(ours.attention, name) for name in ("query", "key", "value", "out")},
            "out_norm": ours.attention.norm,
            "text_map": ours.text_head.linear,
            "text_norm": ours.text_head.norm,
            "image_hidden": ours.image_trunk[0],
            "image_map": ours.image_head.linear,
            "image_norm": ours.image_head.norm,
            "judge": objective.discriminator.net,
        }

    def take_step(self, images: Tensor, sides: Sequence[Texts]) -> float:
        """One update of the discriminator and one of the encoders; the loss."""
        image, texts, states = self.embed(images, sides)
        self.optimizer.zero_grad()
        loss = self.loss(image, texts, states)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, CLIP)
        self.optimizer.step()
        return loss.item()

    def embed(self, images: Tensor, sides: Sequence[Texts]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Vectors of images; of source, target, teacher and back-translation; states of the first two."""
        image = self.mapped(self.image_map, self.image_norm, F.relu(self.image_hidden(images)))
        (source, source_states), (target, target_states) = (self.read(*side) for side in sides[:2])
        masks = [mask.float().unsqueeze(1) for _, mask in sides]
        pooled = [
            self.attend(source, source, masks[0], masks[0]).mean(1),
            self.attend(target, target, masks[1], masks[1]).mean(1),
        ]
        crossed = self.attend(source, target, masks[0], masks[1], cross=True)
        back, _ = self.read(*sides[2])
        pooled.append(torch.cat([crossed, target], dim=1).mean(1))
        pooled.append(self.attend(back, back, masks[2], masks[2]).mean(1))
        texts = [self.mapped(self.text_map, self.text_norm, one) for one in pooled]
        return image, texts, [source_states, target_states]

    def read(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Token states before the shared attention, and those of BERT."""
        states = self.bert(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        entered = F.relu(
            self.enter(F.dropout(self.enter_norm(states), self.drop, self.training)), inplace=True
        )
        places = torch.arange(ids.shape[1]).expand(len(ids), -1)
        placed = self.position_norm(entered + self.positions(places))
        return F.dropout(placed, self.drop, self.training), states

    def attend(
        self, query: Tensor, memory: Tensor, query_mask: Tensor, memory_mask: Tensor, cross: bool = False
    ) -> Tensor:
        """Attention written out, with -10000 wherever not both rows are real."""
        bias = (1 - query_mask.transpose(1, 2) @ memory_mask).unsqueeze(1) * -10000.0

        def split(states: Tensor) -> Tensor:
            return states.unflatten(-1, (self.heads, -1)).permute(0, 2, 1, 3)

        logits = split(self.query(query)) @ split(self.key(memory)).transpose(-1, -2)
        shares = torch.softmax(logits / (query.shape[-1] / self.heads) ** 0.5 + bias, dim=-1)
        shares = F.dropout(shares, self.drop, self.training)
        joined = (shares @ split(self.value(memory))).permute(0, 2, 1, 3).flatten(2)
        found = F.dropout(self.out(joined), self.drop, self.training)
        return self.out_norm(found if cross else found + query)

    def mapped(self, linear: nn.Linear, norm: nn.BatchNorm1d, pooled: Tensor) -> Tensor:
        """Unit vectors of the joint space."""
        found = F.dropout(norm(linear(pooled)), self.head_drop, self.training)
        return found / found.square().sum(1, keepdim=True).sqrt()

    def loss(self, image: Tensor, texts: Sequence[Tensor], states: Sequence[Tensor]) -> Tensor:
        """The weighted sum of their six terms, after an update of the discriminator."""
        source, target, teacher, back = texts
        weights = self.weights
        total = triplet(source, image) + weights.target * triplet(target, image)
        total = total + weights.similarity * similarity(teacher.detach(), target, image)
        total = total + weights.feature * F.smooth_l1_loss(target, teacher, beta=4.0)
        total = total + weights.cycle * triplet(source, back)
        self.judge_optimizer.zero_grad()
        judged = [self.verdict(one.detach(), label) for one, label in zip(states, (1.0, 0.0), strict=True)]
        (0.5 * (judged[0] + judged[1])).backward()
        self.judge_optimizer.step()
        return total + weights.adversary * self.verdict(states[1], 1.0)

    def verdict(self, states: Tensor, label: float) -> Tensor:
        """Cross-entropy of the discriminator on the mean of all token states."""
        logits = self.judge(states.mean(1))
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def triplet(first: Tensor, second: Tensor) -> Tensor:
    """The hardest negative of each row and column, summed; the diagonal alone is no negative."""
    scores = second @ first.T
    own, diagonal = scores.diag().unsqueeze(1), torch.eye(len(scores), dtype=torch.bool)
    rows = (MARGIN + scores - own).clamp(min=0).masked_fill(diagonal, 0)
    columns = (MARGIN + scores - own.T).clamp(min=0).masked_fill(diagonal, 0)
    return rows.max(1)[0].sum() + columns.max(0)[0].sum()


def similarity(teacher: Tensor, student: Tensor, image: Tensor) -> Tensor:
    """Cross-entropy of the student's similarities to the images against those of the teacher."""
    target, found = (image @ text.T / TEMPERATURE for text in (teacher, student))
    ways = [-(target.softmax(dim) * found.log_softmax(dim)).sum(dim).mean() for dim in (1, 0)]
    return 0.5 * (ways[0] + ways[1])


if __name__ == "__main__":
    main()
