"""What a check finds out about a set-up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from stream_app.settings import Settings

Status = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Finding:
    """One thing that is well, or is not, and what to do about it."""

    check: str
    status: Status
    says: str
    remedy: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


Check = Callable[[Settings], Awaitable[list[Finding]]]
"""Looks and changes nothing; never raises for what it is there to find."""
