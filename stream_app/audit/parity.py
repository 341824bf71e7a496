"""Features made again from raw records, in the order that the predictions recorded, against their digests.

A digest covers the user's whole chain of events, so the first one that differs says which event did, and trying its
fields says which of them. An answer that left something out under overload has the digest of a full one. It needs the
log from its beginning, and does not know when users were forgotten: whoever comes back after the time to live is
reported as a mismatch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stream_app.audit.answers import NONE, Answers
from stream_app.audit.differing import culprit
from stream_app.audit.history import Span
from stream_app.state import StateSettings, TaskState

NOTHING = np.dtype([("nothing", "u8")])
FOREVER_MS = 1 << 60


class Parity:
    """One partition number: add its history, then ask for the result."""

    def __init__(self, settings: StateSettings, partition: int, answers: Answers, *, inputs: int) -> None:
        self.compared = self.mismatch = 0
        self.first_differing: dict[str, Any] | None = None
        self._partition = partition
        self._answers = answers
        self._keep_ms = settings.session_gap_ms + settings.grace_ms + settings.bound_ms
        self._state = TaskState(replace(settings, user_ttl_ms=FOREVER_MS), carried=NOTHING, history=1, inputs=inputs)

    def add(self, span: Span) -> None:
        """The next events."""
        state, events = self._state, span.events
        rows = state.update(events)
        _, chain = state.features(events, rows)
        made = span.prediction[rows.order]
        recorded = self._answers.digest[made].tobytes()
        width = self._answers.digest.shape[1]
        wrong = [
            at
            for at, (digest, prediction) in enumerate(zip(chain, made.tolist(), strict=True))
            if prediction != NONE and digest != recorded[at * width : (at + 1) * width]
        ]
        self.compared += int((made != NONE).sum())
        self.mismatch += len(wrong)
        if wrong and self.first_differing is None:
            at = min(wrong, key=lambda one: int(made[one]))
            self.first_differing = {
                "partition": self._partition,
                "prediction": int(made[at]),
                "event_id": events.event_id[rows.order[at]],
                "feature": culprit(events, rows, chain, at, recorded[at * width : (at + 1) * width]),
            }
        state.open_windows()
        state.close(span.watermark_ms - self._keep_ms)
        state.changes()
