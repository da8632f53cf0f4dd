"""Limits of the service: requests that it allows, and memory and time that it spends."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dragoman.errors import UserError
from dragoman.media.images import Decoding
from dragoman.media.sound import SoundLimits


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Limits of the service. Every one of them answers with a status that says which."""

    max_body_mb: float = 20.0
    """Size of a request, uploaded files included; more is refused while it comes in (413)."""
    max_megapixels: float = 50.0
    """Size of an uploaded image, and of a picture that a thumbnail is made of (422)."""
    max_video_megapixels: float = 9.0
    """Size of the frames of an uploaded video, of which a decoder holds several (422)."""
    max_video_seconds: float = 300.0
    """Length of an uploaded video (422)."""
    max_speech_seconds: float = 30.0
    """Length of an uploaded sound; Whisper reads so much at once (422)."""
    max_query_length: int = 1000
    """Characters of a query's text (422)."""
    max_filter_length: int = 2000
    """Characters of a filter (422)."""
    max_k: int = 200
    """Hits of one query (422)."""
    max_table: int = 1000
    """Hits of one query whose answer is a table (422)."""
    max_batch: int = 64
    """Queries of one batch request, and texts and images of one embeddings request (422)."""
    request_seconds: float = 30.0
    """Until an answer begins (504)."""
    translate_seconds: float = 1.0
    """For the translation of a text, where its language is asked through one; then it is asked without."""
    max_requests: int = 128
    """Worked on or waiting at once; more are sent away (503 with Retry-After)."""
    max_connections: int = 1000
    """Held open at once, or half of the files that the system allows; then the longest idle one is closed."""
    head_seconds: float = 10.0
    """For the head of a request to come in; then the connection is closed."""
    stalled_seconds: float = 60.0
    """Without a byte of an answer being taken; then the connection is closed."""
    decoding: int = 4
    """Images and videos decoded at once; with their megapixels this bounds their memory."""
    hearing: int = 1
    """Sounds whose words are recognised at once; others wait for their turn."""
    batch_size: int = 32
    """Queries that are encoded and searched together at most."""
    batch_wait_ms: float = 5.0
    """For how long a query waits for others to join it."""
    thumbnail_cache_mb: float = 64.0
    """Memory for thumbnails that were made."""
    facet_items: int = 20_000
    """Entries that are read to say which fields and values a collection has."""
    facet_seconds: float = 60.0
    """For how long that is remembered."""
    drain_seconds: float = 20.0
    """After SIGTERM, for requests that are being worked on."""

    def __post_init__(self) -> None:
        for one in fields(self):
            if not getattr(self, one.name) > 0:
                raise UserError(f"{one.name} must be above 0, got {getattr(self, one.name)}.")

    @property
    def for_images(self) -> Decoding:
        """Limits of an image."""
        return Decoding(max_megapixels=self.max_megapixels)

    @property
    def for_videos(self) -> Decoding:
        """Limits of a video's frames."""
        return Decoding(max_megapixels=self.max_video_megapixels)

    @property
    def for_speech(self) -> SoundLimits:
        """Limits of a sound; its size is that of its request."""
        return SoundLimits(max_seconds=self.max_speech_seconds, max_mb=self.max_body_mb)
