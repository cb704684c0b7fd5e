"""The verdict cache: the same program, checks and limits are never executed twice."""

from harness.cache.box import CachedBox, CacheUse, open_cached, was_cached
from harness.cache.key import Keys
from harness.cache.store import VerdictStore, default_path

__all__ = [
    "CacheUse",
    "CachedBox",
    "Keys",
    "VerdictStore",
    "default_path",
    "open_cached",
    "was_cached",
]
