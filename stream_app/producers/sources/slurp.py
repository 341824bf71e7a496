"""SLURP: what a real recogniser heard, beside what was said; users and times are invented."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from random import Random
from typing import Any

from stream_app.producers.arrivals import arrivals
from stream_app.producers.tables import json_lines

_HEARD_RIGHT, _HEARD_WRONG = 0.95, 0.4


def slurp(data_dir: Path, *, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """About 6,800 final transcripts, mixed.

    The set has no confidences. They are derived: a transcript's is 1 − its word error rate, a word's is high where
    it agrees with the reference and low where it does not. `properties.confidence_from` says so.
    """
    pairs = [pair for pair in json_lines(data_dir / "slurp/asr_pairs.jsonl.gz") if pair["asr"].strip()]
    Random(f"{seed} slurp order").shuffle(pairs)
    records = (
        {
            "transcript": pair["asr"],
            "call_id": f"slurp-{number}",
            "segment_id": "1",
            "confidence": round(min(max(1.0 - pair["wer"], 0.05), 0.99), 3),
            "words": _words(pair["asr"].split(), pair["ref"].split()),
            "language": "en",
            "channel": "voice_search",
            "properties": {"confidence_from": "word error rate", "invented": ["event_time", "user_id", "confidence"]},
        }
        for number, pair in enumerate(pairs)
    )
    return (("voice-transcripts", record) for record in arrivals("slurp", records, seed=seed, users=1_500))


def _words(heard: list[str], said: list[str]) -> list[dict[str, Any]]:
    blocks = SequenceMatcher(None, heard, said, autojunk=False).get_matching_blocks()
    right = {place for block in blocks for place in range(block.a, block.a + block.size)}
    return [
        {"word": word, "confidence": _HEARD_RIGHT if place in right else _HEARD_WRONG}
        for place, word in enumerate(heard)
    ]
