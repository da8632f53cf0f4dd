"""Descriptions of items: from a file, by a model that sees, or the captions of photos that look alike."""

from dragoman.descriptions.job import DescriptionReport, describe_from, describe_nearest, describe_seen
from dragoman.descriptions.seeing import SeenSettings

__all__ = ["DescriptionReport", "SeenSettings", "describe_from", "describe_nearest", "describe_seen"]
