"""Whether the topics are as the settings want them."""

from __future__ import annotations

from stream_app.doctor.check import Finding, Status
from stream_app.settings import Settings
from stream_app.transport import admin


async def topics(settings: Settings) -> list[Finding]:
    """Missing, not co-partitioned, forgetting what must be kept."""
    settled = await admin.settled(settings)
    plans = admin.plans(settled.topics)
    problems = await admin.verify(settled.broker, plans)
    if not problems:
        return [Finding("topics", "ok", f"{len(plans)} topics with {settled.topics.partitions} partitions each input")]
    if all(problem.endswith("is missing") for problem in problems):
        status: Status = "warn" if settings.topics.create else "fail"
        says = problems[0] if len(problems) == 1 else f"{problems[0]}, and {len(problems) - 1} more"
        return [Finding("topics", status, says, "`stream-app topics create`; a worker creates them if it may")]
    return [
        Finding("topics", "fail", problem, "`stream-app topics create` on another prefix, or mend the topic")
        for problem in problems
    ]
