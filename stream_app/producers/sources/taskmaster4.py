"""Taskmaster-4 ordering dialogs as calls, in clean text; times are invented, a conversation is a user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stream_app.producers.arrivals import arrivals
from stream_app.producers.tables import json_lines

_ROLES = {"user": "customer", "assistant": "agent"}


def taskmaster4(data_dir: Path, *, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """13,915 utterances, one conversation after the other."""
    utterances = json_lines(data_dir / "taskmaster4/utterances.jsonl.gz")
    records = (
        {
            "user_id": f"taskmaster4-{line['conversation_id']}",
            "transcript": line["text"],
            "call_id": line["conversation_id"],
            "segment_id": str(number),
            "participant_role": _ROLES[line["speaker"]],
            "language": "en",
            "channel": "call",
            "properties": {"invented": ["event_time"]},
        }
        for number, line in enumerate(utterances)
    )
    return (("voice-transcripts", record) for record in arrivals("taskmaster4", records, seed=seed, gap_s=6.0))
