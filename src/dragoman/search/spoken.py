"""Queries that are spoken: heard once, then asked as the texts that they are."""

from __future__ import annotations

from dataclasses import replace

from dragoman.errors import UserError
from dragoman.media.sound import LIMITS, SoundLimits
from dragoman.messages import Message
from dragoman.search.query import Answer, Query
from dragoman.speech.hearing import Heard, hear
from dragoman.speech.recogniser import Recogniser


def as_text(
    query: Query, recogniser: Recogniser | None, limits: SoundLimits = LIMITS
) -> tuple[Query, Heard | None]:
    """Put words in the place of the sound of a query, and give what was heard; None where it has no sound.

    Raises UserError where there is no recogniser, or a text beside the sound, and what `hear` raises.
    """
    if query.speech is None:
        return query, None
    if query.text:
        raise UserError(Message("speech_and_text"))
    if recogniser is None:
        raise UserError(
            "A query that is spoken needs a recogniser of speech. Name a folder, an address or a hub id: "
            "--recogniser openai/whisper-base (in Python, Searcher.open(index, recogniser=...))"
        )
    heard = hear(query.speech, recogniser, query.lang, limits)
    # In the language that was recognised from the sound, the text is written: it need not be guessed again.
    return replace(query, speech=None, text=heard.text, lang=heard.language), heard


def with_heard(answer: Answer, heard: Heard | None) -> Answer:
    """Tell in an answer what was heard, how sure its language is, and how long it took."""
    if heard is None:
        return answer
    language = answer.language
    if language is not None and heard.language is not None:
        language = replace(language, confidence=heard.confidence, given=heard.given)
    seconds = {**answer.seconds, "hear": heard.seconds}
    return replace(answer, heard=heard, language=language, seconds=seconds)
