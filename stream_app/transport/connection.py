"""How every Kafka client of the process connects: one place for TLS and SASL."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.helpers import create_ssl_context

from stream_app.errors import DependencyError, SettingsError, StreamAppError
from stream_app.settings import Broker


def client_options(broker: Broker) -> dict[str, Any]:
    """Keyword arguments that aiokafka's consumer, producer and admin client share."""
    options: dict[str, Any] = {
        "bootstrap_servers": broker.url.split(","),
        "security_protocol": broker.security_protocol,
        "request_timeout_ms": broker.request_timeout_ms,
    }
    if "SSL" in broker.security_protocol:
        options["ssl_context"] = _ssl_context(broker)
    if "SASL" in broker.security_protocol:
        options |= {
            "sasl_mechanism": broker.sasl_mechanism,
            "sasl_plain_username": broker.username,
            "sasl_plain_password": _password(broker),
        }
    return options


def compression(broker: Broker) -> str | None:
    """The producer's compression type."""
    return None if broker.compression == "none" else broker.compression


def _ssl_context(broker: Broker) -> ssl.SSLContext:
    for key in ("ca_file", "cert_file", "key_file"):
        path = getattr(broker, key)
        if path is not None and not path.is_file():
            raise SettingsError(f"setting broker.{key}: no such file: {path}")
    context: ssl.SSLContext = create_ssl_context(
        cafile=str(broker.ca_file) if broker.ca_file else None,
        certfile=str(broker.cert_file) if broker.cert_file else None,
        keyfile=str(broker.key_file) if broker.key_file else None,
    )
    context.check_hostname = broker.check_hostname
    return context


def _password(broker: Broker) -> str:
    if broker.password_file is None:
        return broker.password.get_secret_value()
    try:
        return broker.password_file.read_text().strip()
    except OSError as error:
        raise SettingsError(f"setting broker.password_file: {error.strerror}") from None


DENIED = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    TransactionalIdAuthorizationFailed: "transactional id",
    ClusterAuthorizationFailedError: "cluster",
}
"""What an ACL is missing for."""


def failure(error: Exception, doing: str, *, operation: str, on: str = "") -> StreamAppError:
    """What a client's error means: an ACL that is missing stops the start-up, anything else is waited for.

    `operation` on `on` is what was refused: Kafka does not say the one, and not always the other.
    """
    kind = next((kind for denied, kind in DENIED.items() if isinstance(error, denied)), None)
    if kind is None:
        return DependencyError(f"broker: {doing}: {error}")
    named = on or ", ".join(sorted(map(str, _names(error))))
    denied = f"not allowed: {operation} on {kind} {named}".rstrip()
    return SettingsError(f"broker: {doing}: {denied}: `stream-app topics acls` lists what a worker needs")


def _names(error: Exception) -> list[object]:
    """Topics, group or transactional id that an authorization error carries."""
    named = error.args[0] if error.args else ()
    return list(named) if isinstance(named, list | tuple | set | frozenset) else [named]


async def refusal(broker: Broker) -> SettingsError | None:
    """Why brokers that listen do not let us in; None where none listens, or one does."""
    options = client_options(broker)
    del options["bootstrap_servers"]
    found: SettingsError | None = None
    for address in broker.url.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            (await create_conn(host.strip("[]"), int(port), **options)).close()
            return None
        except (SaslAuthenticationFailed, AuthenticationFailedError):
            found = SettingsError(f"broker {address}: wrong password, or no such user: {broker.username!r}")
        except UnsupportedSaslMechanismError:
            found = SettingsError(f"broker {address}: does not take broker.sasl_mechanism {broker.sasl_mechanism}")
        except ssl.SSLCertVerificationError as error:
            found = SettingsError(f"broker {address}: its certificate: {error.verify_message}: see broker.ca_file")
        except ssl.SSLError as error:
            found = SettingsError(f"broker {address}: TLS: {error.reason}: see broker.security_protocol")
        except (KafkaError, OSError, TimeoutError, ValueError):
            if "SSL" in broker.security_protocol and await _speaks_tls(host, port, options):
                shown = broker.cert_file and f"does not take the client certificate {broker.cert_file}"
                found = SettingsError(
                    f"broker {address}: {shown or 'wants a client certificate: set broker.cert_file'}"
                )
    return found


async def _speaks_tls(host: str, port: str, options: dict[str, Any]) -> bool:
    """Whether a TLS handshake succeeds: what fails after it is the certificate that we do not show."""
    try:
        _, writer = await asyncio.wait_for(
            asyncio.open_connection(host.strip("[]"), int(port), ssl=options["ssl_context"]),
            options["request_timeout_ms"] / 1000,
        )
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True
