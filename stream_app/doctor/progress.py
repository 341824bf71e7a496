"""How far the workers are behind what producers have sent."""

from __future__ import annotations

from collections import Counter

from stream_app.doctor.check import Finding
from stream_app.outputs.topics import TopicNames
from stream_app.settings import Settings
from stream_app.transport import admin


async def progress(settings: Settings) -> list[Finding]:
    """Records that wait, per input; and records that nobody has ever read."""
    settled = await admin.settled(settings)
    inputs = TopicNames(settled.topics.prefix).inputs
    partitions = await admin.bounds(settled.broker, inputs)
    if not partitions:
        return [Finding("progress", "skip", "no input topic yet")]
    done = await admin.committed(settled.broker, settled.pipeline.name)
    lag: Counter[str] = Counter()
    for (topic, number), (first, end) in partitions.items():
        lag[topic] += max(0, end - max(done.get((topic, number), 0), first))
    waiting = {name: count for name, count in lag.items() if count}
    group = settled.pipeline.name
    if not any(end for _, end in partitions.values()):
        return [
            Finding(
                "progress", "warn", "no event was ever sent", f"produce to {inputs[0]}, or try `stream-app simulate`"
            )
        ]
    if waiting and not any(name in inputs for name, _ in done):
        says = f"{sum(waiting.values())} records wait and group {group} has never read one"
        return [Finding("progress", "warn", says, "start `stream-app worker`")]
    if waiting:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(waiting.items()))
        return [Finding("progress", "warn", f"waiting: {listed}", "a worker that runs catches up; else start one")]
    return [Finding("progress", "ok", f"group {group} has read everything")]
