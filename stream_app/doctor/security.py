"""Whether secrets and user data are guarded as far as settings can tell."""

from __future__ import annotations

from ipaddress import ip_address

from stream_app.doctor.check import Finding
from stream_app.settings import Settings


async def security(settings: Settings) -> list[Finding]:
    """TLS towards brokers elsewhere, a token where HTTP is not loopback, secrets in files."""
    found = []
    hosts = [address.rpartition(":")[0] for address in settings.broker.url.split(",")]
    far = [host for host in hosts if not loopback(host)]
    if far and "SSL" not in settings.broker.security_protocol:
        found.append(
            Finding(
                "security",
                "warn",
                f"events travel to {far[0]} in the clear",
                "set broker.security_protocol to SSL or SASL_SSL",
            )
        )
    if settings.web.enabled and not loopback(settings.web.host) and not settings.web.token.get_secret_value():
        found.append(
            Finding("security", "fail", f"HTTP on {settings.web.host} without a token", "set STREAM_APP_WEB__TOKEN")
        )
    if "SASL" in settings.broker.security_protocol and settings.broker.password_file is None:
        found.append(
            Finding("security", "warn", "the broker's password is in the environment", "use broker.password_file")
        )
    if not settings.broker.check_hostname:
        found.append(Finding("security", "warn", "broker.check_hostname is off", "turn it on: anybody can answer"))
    return found or [Finding("security", "ok", f"{settings.broker.security_protocol} to the broker")]


def loopback(host: str) -> bool:
    """Whether only this machine is meant."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
