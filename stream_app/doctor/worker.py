"""Whether a worker answers where this configuration would put it."""

from __future__ import annotations

import aiohttp
import orjson

from stream_app.doctor.broker import answers
from stream_app.doctor.check import Finding
from stream_app.settings import Settings


async def worker(settings: Settings) -> list[Finding]:
    """Its readiness, or who else has its port."""
    web = settings.web
    if not web.enabled or web.port == 0:
        return [Finding("worker", "skip", "no fixed HTTP port is set: cannot tell")]
    host = "127.0.0.1" if web.host in ("0.0.0.0", "::") else web.host  # noqa: S104 (compared, not bound)
    address = f"{host}:{web.port}"
    if not await answers(address):
        return [Finding("worker", "warn", f"none answers at {address}", "`stream-app worker`")]
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.get(f"http://{address}/readyz") as answer,
        ):
            status, body = answer.status, await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        return [Finding("worker", "fail", f"{address} does not speak HTTP: {error}", "set web.port to a free one")]
    if status == 200:
        return [Finding("worker", "ok", f"ready at {address}")]
    if status == 503:
        return [Finding("worker", "warn", f"at {address}, not ready: {reason(body)}", "see its log")]
    return [Finding("worker", "fail", f"another program answers at {address}", "set web.port to a free one")]


def reason(body: bytes) -> str:
    """What /readyz says."""
    try:
        return ", ".join(orjson.loads(body)["reasons"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "no reason given"
