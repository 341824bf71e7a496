"""Whether the brokers answer, and as many as the topics want copies."""

from __future__ import annotations

import asyncio
import time

from stream_app.doctor.check import Finding
from stream_app.errors import StreamAppError
from stream_app.settings import Settings
from stream_app.transport.admin import admin_client


async def broker(settings: Settings) -> list[Finding]:
    """Address by address, then the cluster."""
    closed = [address for address in settings.broker.url.split(",") if not await answers(address)]
    if len(closed) == len(settings.broker.url.split(",")):
        return [
            Finding(
                "broker",
                "fail",
                f"nothing listens at {', '.join(closed)}",
                "start Kafka, or set STREAM_APP_BROKER__URL; `stream-app broker` starts one here",
            )
        ]
    found = [Finding("broker", "warn", f"nothing listens at {address}", "mend or remove it") for address in closed]
    try:
        started_s = time.perf_counter()
        async with admin_client(settings.broker) as client:
            cluster = await client.describe_cluster()
        took_ms = (time.perf_counter() - started_s) * 1000
    except StreamAppError as error:
        return [*found, Finding("broker", "fail", str(error), remedy(settings))]
    count = len(cluster["brokers"])
    if settings.topics.replication > count:
        says = f"topics.replication is {settings.topics.replication}, brokers are {count}"
        found.append(Finding("broker", "fail", says, "lower it, or add brokers"))
    if settings.topics.replication == 1 and count > 1:
        found.append(
            Finding("broker", "warn", f"one copy of each record on {count} brokers", "set topics.replication to 3")
        )
    return found or [Finding("broker", "ok", f"{count} broker(s), connected in {took_ms:.0f} ms")]


async def answers(address: str, timeout_s: float = 3.0) -> bool:
    """Whether a host:port takes connections."""
    host, _, port = address.strip().rpartition(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host.strip("[]"), int(port)), timeout_s)
    except (OSError, ValueError, TimeoutError):
        return False
    writer.close()
    return True


def remedy(settings: Settings) -> str:
    """It listens and still refuses us."""
    if "SASL" in settings.broker.security_protocol:
        return f"check broker.username, the password and broker.sasl_mechanism ({settings.broker.sasl_mechanism})"
    if "SSL" in settings.broker.security_protocol:
        return "check broker.ca_file, cert_file and key_file"
    return "it may want TLS or SASL: see broker.security_protocol"
