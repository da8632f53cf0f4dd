"""The criterion that chooses the model: SumR on the val split.

Q queries, B items of the gallery, J joint width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.evaluation import Positives, rank_queries, sum_r, summarise
from dragoman.models.dual import DualEncoder
from dragoman.retrievers.base import encode_in
from dragoman.retrievers.trained import Retriever
from dragoman.training.config import TrainConfig, TrustUse
from dragoman.training.samples import human_captions, load_samples


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Queries of each target language (or of the source, where there is no target) over the val images."""

    described: str
    queries: dict[str, tuple[list[str], list[str]]]
    """Language to texts and their item ids."""
    items: list[str]

    def score(self, model: DualEncoder, features: NDArray[np.floating]) -> dict[str, float]:
        """`sum_r` of each language, 0 to 600, and their mean under `mean`.

        `features` are the vision vectors of `items`, [B, D], or [B, F, D] of their frames.
        """
        training = model.training
        model.eval()
        retriever = Retriever(model, {}, None)
        images_BJ = retriever.encode_features(features)
        found = {
            lang: caption_sum_r(encode_in(retriever, texts, lang), images_BJ, item_ids, self.items)
            for lang, (texts, item_ids) in self.queries.items()
        }
        model.train(training)
        return {**found, "mean": sum(found.values()) / len(found)}


def load_validation(corpus: Corpus, config: TrainConfig) -> Validation:
    """The val split as the configuration wants it."""
    queries: dict[str, tuple[list[str], list[str]]] = {}
    if not config.targets:
        captions = human_captions(corpus, config.source, "val")
        queries[config.source] = (captions.texts, captions.item_ids)
        described = f"SumR of human {config.source} captions of the val split"
    elif config.validation == "human":
        for lang in config.targets:
            captions = human_captions(corpus, lang, "val")
            queries[lang] = (captions.texts, captions.item_ids)
        described = f"mean SumR of human captions of the val split in {', '.join(config.targets)}"
    else:
        both = config.target_captions == "both"
        # Trust may leave captions out of training; what runs are compared by must not depend on it.
        plain = replace(config, trust=TrustUse())
        samples = load_samples(corpus, plain, back=False, split="val")
        for target in samples.targets:
            rows = [row for row, choices in enumerate(target.choices) if choices]
            texts = [target.choices[row][0].text for row in rows]
            queries[target.lang] = (texts, [samples.item_id[row] for row in rows])
        by = "human captions, else machine-translated ones," if both else "machine-translated captions"
        described = f"mean SumR of {by} of the val split in {', '.join(config.targets)}" + (
            "" if both else "; no human target caption is used"
        )
    queries = {lang: _spread(found, config.validation_captions) for lang, found in queries.items()}
    items = sorted({item_id for _, item_ids in queries.values() for item_id in item_ids})
    if len(items) < 2:
        raise UserError(f"The val split of {corpus.folder} has {len(items)} captioned items; 2 are needed.")
    return Validation(described=described, queries=queries, items=items)


def _spread(queries: tuple[list[str], list[str]], count: int | None) -> tuple[list[str], list[str]]:
    """At most `count` of the queries, at equal distances."""
    texts, item_ids = queries
    if count is None or count >= len(texts):
        return queries
    rows = np.arange(count) * len(texts) // count
    return [texts[row] for row in rows], [item_ids[row] for row in rows]


def caption_sum_r(
    texts_QJ: NDArray[np.float32], images_BJ: NDArray[np.float32], item_ids: list[str], items: list[str]
) -> float:
    """SumR, 0 to 600, of captions [Q, J] of the items `item_ids` among the images [B, J] of `items`."""
    row_of_item = {item_id: row for row, item_id in enumerate(items)}
    # Images without a caption in this language are in the gallery, but ask nothing.
    captioned = set(item_ids)
    asked = [item_id for item_id in items if item_id in captioned]
    own = images_BJ[[row_of_item[item_id] for item_id in asked]]
    text_to_image = rank_queries(texts_QJ, images_BJ, Positives.from_items(item_ids, items))
    image_to_text = rank_queries(own, texts_QJ, Positives.from_items(asked, item_ids))
    return sum_r(summarise(text_to_image), summarise(image_to_text))
