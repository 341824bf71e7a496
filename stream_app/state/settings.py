"""The settings of a task's state."""

from dataclasses import dataclass

from stream_app.errors import SettingsError


@dataclass(frozen=True)
class StateSettings:
    """Event time and windows, milliseconds."""

    bound_ms: int = 5_000
    grace_ms: int = 60_000
    session_gap_ms: int = 1_800_000
    tumbling_ms: int = 300_000
    idle_input_ms: int = 10_000
    user_ttl_ms: int = 30 * 86_400_000
    future_ms: int = 3_600_000
    checkpoint_s: float = 0.0  # the worker's: state.checkpoint_s

    def __post_init__(self) -> None:
        for name in ("bound_ms", "grace_ms", "future_ms"):
            if getattr(self, name) < 0:
                raise SettingsError(f"state.{name} must not be negative")
        for name in ("tumbling_ms", "idle_input_ms"):
            if getattr(self, name) < 1:
                raise SettingsError(f"state.{name} must be positive")
        if self.session_gap_ms < self.tumbling_ms:
            raise SettingsError("state.session_gap_ms must be at least state.tumbling_ms")
        if self.user_ttl_ms < self.session_gap_ms + self.tumbling_ms + self.grace_ms:
            raise SettingsError("state.user_ttl_ms must outlast a session, a tumbling window and the grace")
