"""The state of one task, columnar: users, windows, watermark, de-duplication. Knows no Kafka and no model."""

from stream_app.state.admission import ACCEPTED, DUPLICATE, FUTURE, LATE, PARTIAL, VERDICTS, Admission, Segment
from stream_app.state.settings import StateSettings
from stream_app.state.task_state import TaskState
from stream_app.state.user_rows import UserRows
from stream_app.state.windows import WindowBatch

__all__ = [
    "ACCEPTED",
    "DUPLICATE",
    "FUTURE",
    "LATE",
    "PARTIAL",
    "VERDICTS",
    "Admission",
    "Segment",
    "StateSettings",
    "TaskState",
    "UserRows",
    "WindowBatch",
]
