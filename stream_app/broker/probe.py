"""One Metadata request over a plain socket: which cluster answers? Knows no Kafka client."""

import socket
import struct

METADATA, VERSION = 3, 5


def cluster_id(host: str, port: int, *, timeout_s: float = 1.0) -> str | None:
    """Cluster id of the broker at host:port once it is registered there; None while nobody answers."""
    head = struct.pack(">hhih5s", METADATA, VERSION, 1, 5, b"probe")
    body = struct.pack(">i?", 0, False)  # no topics, create none
    try:
        with socket.create_connection((host, port), timeout_s) as connection, connection.makefile("rb") as reply:
            connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
            (size,) = struct.unpack(">i", reply.read(4))
            return _cluster_id(reply.read(size))
    except (OSError, struct.error):
        return None


def _cluster_id(payload: bytes) -> str | None:
    at = 8  # correlation id, throttle time
    (brokers,) = struct.unpack_from(">i", payload, at)
    at += 4
    for _ in range(brokers):
        (host,) = struct.unpack_from(">h", payload, at + 4)
        at += 4 + 2 + host + 4
        (rack,) = struct.unpack_from(">h", payload, at)
        at += 2 + max(rack, 0)
    (length,) = struct.unpack_from(">h", payload, at)
    return payload[at + 2 : at + 2 + length].decode() if brokers and length > 0 else None
