"""The one hash of ids and texts. No cache: looking a fresh string up costs nearly what hashing it does."""

from xxhash import xxh3_64_intdigest


def hash64(text: str) -> int:
    """xxh3_64 of the UTF-8 text; never 0, which means absent."""
    return int(xxh3_64_intdigest(text.encode())) or 1
