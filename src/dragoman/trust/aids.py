"""Aids of the signals beside the captions: a language identifier, lists of words, a trained model.

N captions, S of them with a picture that has a vector, J joint width. A model is handed in by the caller;
this package trains and loads none.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import FeatureSet, shown
from dragoman.errors import MissingExtraError, UserError
from dragoman.retrievers.base import Model, encode_in
from dragoman.retrievers.described import with_descriptions
from dragoman.translation.lexicon import read_words
from dragoman.trust.evidence import Translation

log = logging.getLogger(__name__)

PROBES = 32
"""Captions by whose vectors a model is known again."""


class Aids:
    """Aids of the signals beside the captions: a language identifier, lists of words, a trained model."""

    def __init__(
        self,
        judged: Sequence[Translation],
        langid: bool,
        words: Mapping[str, str | Path],
        model: ModelSignals | None,
    ) -> None:
        tags = sorted({t.lang for t in judged} | {t.source_lang for t in judged})
        self.identify = language_identifier(tags) if langid else None
        self.vocabulary = {
            lang: frozenset(word.casefold() for word in read_words(Path(path)))
            for lang, path in sorted(words.items())
        }
        if empty := [str(words[lang]) for lang, known in self.vocabulary.items() if not known]:
            raise UserError(f"{', '.join(empty)} holds no word. Give a text file with one word a line.")
        if strange := sorted(set(words) - {t.lang for t in judged}):
            raise UserError(
                f"There are words of {', '.join(strange)}, but no machine translation into it. "
                f"Languages of the translations: {', '.join(sorted({t.lang for t in judged}))}."
            )
        # By content: another list under the same name makes other signals, the same one elsewhere does not.
        lists = {lang: sorted(known) for lang, known in self.vocabulary.items()}
        digest = hashlib.sha256(repr(lists).encode()).hexdigest() if lists else ""
        self.model = model
        self.settings = " ".join(
            [*(tags if langid else ()), digest, model.fingerprint(judged) if model else ""]
        )
        """Changes with whatever changes a signal."""


def language_identifier(languages: Iterable[str]) -> Callable[[str, Sequence[str]], list[float | None]]:
    """A function of a language and texts that gives the probability of the language for each text, 0..1.

    The detector (lingua) chooses among `languages` only. It answers None for languages that it does not
    know. Raises MissingExtraError without lingua.
    """
    try:
        import lingua
    except ImportError:
        raise MissingExtraError("lingua-language-detector", "langid", "Language identification") from None
    primary = {tag: tag.lower().split("-")[0] for tag in languages}
    by_code = {known.iso_code_639_1.name.lower(): known for known in lingua.Language.all()}
    by_code["no"] = by_code["nb"]  # lingua knows Bokmål and Nynorsk, most corpora say Norwegian
    known = {tag: by_code[code] for tag, code in primary.items() if code in by_code}
    choice = set(known.values())
    if len(choice) < 2:  # nothing to choose between
        return lambda lang, texts: [None] * len(texts)
    detector = lingua.LanguageDetectorBuilder.from_languages(*choice).build()

    def probabilities(lang: str, texts: Sequence[str]) -> list[float | None]:
        if lang not in known:
            return [None] * len(texts)
        return list(detector.compute_language_confidence_in_parallel(list(texts), known[lang]))

    return probabilities


class ModelSignals:
    """The signals `image` and `meaning` of captions in the languages that a model was trained on.

    A picture that has no vector gives no signal `image`; how many have none is told. Raises UserError where
    they are more than half.
    """

    def __init__(self, model: Model, corpus: Corpus) -> None:
        self._model = model
        self._languages = {model.config["source"], *model.config["targets"]}
        name = model.config.get("features")
        if not name:
            raise UserError("The model names no feature set, so it cannot see the pictures. Train it again.")
        self._features: FeatureSet = with_descriptions(
            corpus.features(name), corpus, model.config.get("descriptions")
        )
        items = list(dict.fromkeys(corpus.select(role="mt").item_ids))
        self._lacking = self._features.lacking(items)
        if self._lacking:
            counted = f"{len(self._lacking)} of {len(items)} items with machine captions"
            said = f"{self._features.folder} has no vector for {counted}: {shown(self._lacking)}."
            again = f"Give them vectors: {self._features.make_again}"
            if 2 * len(self._lacking) > len(items):
                raise UserError(f"{said} The signal image needs most of them. {again}")
            log.warning("%s Their captions are judged without the signal image. %s", said, again)

    def of(self, judged: Sequence[Translation]) -> Mapping[str, list[float | None]]:
        """`image` in -2..2 and `meaning` in -1..1, high is good; None for languages the model does not know.

        image = cos(translation, picture) - cos(source, picture), meaning = cos(source, translation).
        """
        found: dict[str, list[float | None]] = {name: [None] * len(judged) for name in ("image", "meaning")}
        rows = [row for row, t in enumerate(judged) if {t.lang, t.source_lang} <= self._languages]
        if rows:
            source_NJ, text_NJ, seen_N, image_SJ = self._vectors([judged[row] for row in rows])
            meaning_N = np.sum(source_NJ * text_NJ, axis=1)
            image_S = np.sum((text_NJ - source_NJ)[seen_N] * image_SJ, axis=1)
            for row, meaning in zip(rows, meaning_N, strict=True):
                found["meaning"][row] = float(meaning)
            for row, image in zip(np.array(rows)[seen_N].tolist(), image_S, strict=True):
                found["image"][row] = float(image)
        return found

    def fingerprint(self, judged: Sequence[Translation]) -> str:
        """Another one for another model, or where a picture was replaced or got its vector."""
        source_NJ, text_NJ, _, image_SJ = self._vectors(judged[:PROBES])
        vectors = np.concatenate([source_NJ, text_NJ, image_SJ])
        # Rounded: the last digits depend on the machine and on the number of its threads.
        digest = hashlib.sha256(vectors.round(4).tobytes())
        stored = self._features.manifest.get("files", {}).get("vectors.npy", {})
        digest.update(str(stored.get("sha256")).encode())
        return digest.hexdigest()

    def _vectors(
        self, judged: Sequence[Translation]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
        """Encode sources and texts [N, J], and the pictures [S, J] of those that are marked [N]."""
        lacking = set(self._lacking)
        seen = [t.item_id for t in judged if t.item_id not in lacking]
        source_NJ = encode_in(self._model, [t.source for t in judged], [t.source_lang for t in judged])
        text_NJ = encode_in(self._model, [t.text for t in judged], [t.lang for t in judged])
        seen_N = np.array([t.item_id not in lacking for t in judged], bool)
        if not seen:
            return source_NJ, text_NJ, seen_N, text_NJ[:0]
        vectors = np.asarray(self._features.whole(self._features.rows(seen)))
        return source_NJ, text_NJ, seen_N, self._model.encode_features(vectors)
