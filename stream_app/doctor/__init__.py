"""`stream-app doctor`: looks at a set-up from the installation to the running worker and says what to mend."""

from stream_app.doctor.broker import broker
from stream_app.doctor.check import Check, Finding
from stream_app.doctor.installation import installation
from stream_app.doctor.machine import machine
from stream_app.doctor.model import model
from stream_app.doctor.progress import progress
from stream_app.doctor.security import security
from stream_app.doctor.topics import topics
from stream_app.doctor.worker import worker
from stream_app.errors import StreamAppError
from stream_app.settings import Settings

__all__ = ["CHECKS", "Finding", "examine"]

CHECKS: dict[str, Check] = {
    "installation": installation,
    "machine": machine,
    "security": security,
    "model": model,
    "broker": broker,
    "topics": topics,
    "progress": progress,
    "worker": worker,
}
"""In the order in which a person would look; a check is one file here and its entry."""

NEEDS = {"topics": "broker", "progress": "topics"}


async def examine(settings: Settings) -> list[Finding]:
    """What every check finds; one whose foundation failed is skipped, with the reason."""
    found: list[Finding] = []
    for name, check in CHECKS.items():
        below = NEEDS.get(name)
        if below and any(f.check == below and f.status in ("fail", "skip") for f in found):
            found.append(Finding(name, "skip", f"not looked at: {below} comes first"))
            continue
        try:
            found += await check(settings)
        except StreamAppError as error:
            found.append(Finding(name, "fail", str(error)))
    return found
