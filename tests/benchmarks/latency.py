"""Latency of work `full` at several paces, and the CPU of worker and broker, idle and busy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from stream_app.producers.account import account
from tests.benchmarks.full import OUTPUTS, read, stream
from tests.benchmarks.pacing import INPUTS, WARM_S, at_rate, cores, cores_since
from tests.benchmarks.processes import resident_mib
from tests.benchmarks.running import Running, running

IDLE_S = 6.0


def latency(*, rates: Sequence[int], seconds: float, partitions: int) -> dict[str, Any]:
    """The figures of the highest rate, and under `<rate>/s` those of each; `cores` are of worker and broker."""
    with running("latency", partitions=partitions) as found:
        return asyncio.run(_measure(found, rates, seconds))


async def _measure(found: Running, rates: Sequence[int], seconds: float) -> dict[str, Any]:
    system, pids = found.system, found.pids
    await found.assigned()
    await asyncio.sleep(3)
    began = cores_since(pids)
    await asyncio.sleep(IDLE_S)
    idle = cores(began, cores_since(pids))
    pending = stream("simulator", None, events=int(sum(rates) * (seconds + WARM_S)))
    paces: dict[str, dict[str, Any]] = {}
    for rate in rates:
        pace = await at_rate(system, pids, pending, rate, seconds)
        paces[f"{rate}/s"] = pace | {"cores_over_idle": round(sum(pace["cores"]) - sum(idle), 3)}
    result = account(await read(system, INPUTS), await read(system, OUTPUTS))
    most = paces[f"{max(rates)}/s"]
    return {
        "cpu_us_per_event": round((most["cores"][0] - idle[0]) / max(rates) * 1e6, 1),
        "events_per_s": max(rates),
        **{name: most[name] for name in ("p50_ms", "p99_ms", "p99.9_ms")},
        "peak_mib": round(resident_mib(pids[0])),
        "wrong": result.lost + result.repeated + result.unknown,
        "idle_cores": idle,
        **paces,
    }
