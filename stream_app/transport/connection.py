"""How every Kafka client of the process connects: one place for TLS and SASL."""

from __future__ import annotations

import ssl
from typing import Any

from aiokafka.helpers import create_ssl_context

from stream_app.errors import SettingsError
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
