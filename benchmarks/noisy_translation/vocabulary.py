"""How much of the gap is words: what human captions say that the machine never wrote.

    python benchmarks/noisy_translation/vocabulary.py --out WORK

WORK is the folder of run.py. Prints which share of the running words of human Portuguese test captions is
unseen (below 2 occurrences) in the training captions of each kind, the most frequent of them, and
text-to-image recall@10 of the arms by the share of unseen words of the query, over all seeds. Looks at test
captions, so nothing may be chosen by it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dragoman.corpus import Corpus
from dragoman.models.text.spelling import words
from dragoman.translation.lexicon import Lexicon

RARE = 2
BOUNDS = (0.0, 0.1, 0.2, 0.3, 1.0)
ARMS = ("translate_train", "nrccr", "translate_train+lexicon", "nrccr+lexicon", "oracle")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    corpus = Corpus.open(options.out / "corpus")
    machine, human = (counted(texts(corpus, role, "train").values()) for role in ("mt", "human"))
    asked = texts(corpus, "human", "test")
    running = counted(asked.values())
    lexicon = set(Lexicon.open(corpus, "pt").words())
    unseen = {word for word in running if machine[word] < RARE}
    print("| running words of human test captions | share |\n|---|---|")
    for what, chosen in (
        ("unseen in machine training captions", unseen),
        ("unseen, and in the lexicon", unseen & lexicon),
        ("unseen in human training captions", {word for word in running if human[word] < RARE}),
    ):
        share = sum(running[word] for word in chosen) / running.total()
        print(f"| {what} | {share:.1%} |")
    most = sorted(unseen, key=lambda word: -running[word])[:20]
    listed = ", ".join(f"{word} ({running[word]}{'' if word in lexicon else ', unknown'})" for word in most)
    print(f"\nMost frequent unseen words (unknown: not in the lexicon either): {listed}\n")
    by_unseen_share(options.out, asked, unseen)


def by_unseen_share(out: Path, asked: dict[str, str], unseen: set[str]) -> None:
    """Recall@10 of each arm, by the share of unseen words of the query."""
    share = {query: float(np.mean([word in unseen for word in read(text)])) for query, text in asked.items()}
    names = [f"{low:.0%} to {high:.0%}" for low, high in pairwise(BOUNDS)]
    print(f"| arm | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for arm in ARMS:
        hits, places = [], []
        for path in sorted(out.glob(f"reports/{arm}-[0-9]*-written/queries.parquet")):
            table = pq.read_table(path, columns=["language", "row", "direction", "qid", "rank"])
            for name, value in (("language", "pt"), ("row", "direct"), ("direction", "text_to_image")):
                table = table.filter(pc.equal(table[name], value))
            hits += [rank <= 10 for rank in table["rank"].to_pylist()]
            places += [np.searchsorted(BOUNDS[1:-1], share[qid]) for qid in table["qid"].to_pylist()]
        if hits:
            found, place = np.array(hits), np.array(places)
            cells = [
                f"{100 * found[place == at].mean():.1f} (n = {sum(place == at)})" for at in range(len(names))
            ]
            print(f"| {arm} | {' | '.join(cells)} |")


def texts(corpus: Corpus, role: str, split: str) -> dict[str, str]:
    """Portuguese captions of one role and split, by id."""
    found = corpus.select(role=role, lang="pt", split=split)
    return dict(zip(found.ids, found.texts, strict=True))


def counted(captions: Iterable[str]) -> Counter[str]:
    """Running words."""
    return Counter(word for caption in captions for word in read(caption))


def read(caption: str) -> Sequence[str]:
    """Words in lower case, without punctuation."""
    return [word for word in words(caption.lower()) if word[0].isalnum()]


if __name__ == "__main__":
    main()
