"""Images, audio and PDFs: what they are, where their bytes are kept, and what may be read."""

from lmc.media.content import KINDS, Media, MediaProblem, mark_pattern
from lmc.media.store import media_store

__all__ = ["KINDS", "Media", "MediaProblem", "mark_pattern", "media_store"]
