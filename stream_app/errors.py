"""The error tree: each class says what happens next.

StreamAppError
├── SettingsError     stop at start-up, naming the key
├── EventError        dead-letter the record with its code, go on
├── ScoringError      retry by halves until the offender is alone, dead-letter it, publish the rest
├── DependencyError   broker, model or disk: pause, readiness red, retry; never a dead letter
└── StateError        the state can no longer be trusted: exit non-zero, restart restores it
"""


class StreamAppError(Exception):
    """Any error this package raises on purpose."""


class SettingsError(StreamAppError):
    """A setting is wrong; the message names its key."""


class EventError(StreamAppError):
    """A record cannot be accepted. `message` never holds personal text."""

    def __init__(self, code: str, message: str, *, stage: str, field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.stage = stage
        self.field = field


class ScoringError(StreamAppError):
    """The model failed on a batch."""


class DependencyError(StreamAppError):
    """Something outside this process is away: broker, model file, disk."""


class StateError(StreamAppError):
    """Memory and log may differ: the process must end and restore."""
