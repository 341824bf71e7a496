"""A worker with a client certificate and exactly the ACLs of `topics acls` works; without one of them it says which."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from stream_app.broker import EmbeddedBroker, Security
from stream_app.demo.stack import worker_environment
from stream_app.doctor import examine
from stream_app.errors import SettingsError
from stream_app.producers.publish import encode
from stream_app.producers.simulate import simulate
from stream_app.settings import Broker, Settings
from stream_app.transport import admin
from stream_app.transport.acls import Acl, worker_acls
from tests.kafka.workers import System, settings_for

KINDS = {"topic": 2, "group": 3, "transactional-id": 5}
OPERATIONS = {"READ": 3, "WRITE": 4, "CREATE": 5, "DESCRIBE": 8}
ALLOW, LITERAL, PREFIXED = 3, 3, 4
PRINCIPAL = "User:CN=analyzer"
START_MS = 1_700_000_000_000
OPENSSL = which("openssl") or ""


@dataclass(frozen=True)
class Guarded:
    """A broker that asks for a certificate and allows nothing by itself."""

    broker: EmbeddedBroker
    certificate: Path
    key: Path

    def system(self, prefix: str, folder: Path) -> System:
        """Of a worker that shows its certificate; what the test itself asks, it asks behind the guards."""
        settings = settings_for(self.broker.internal_url, prefix, folder, partitions=1)
        shown = {"BROKER__URL": self.broker.url, "BROKER__SECURITY_PROTOCOL": "SSL", "TOPICS__CREATE": "false"}
        shown |= {"BROKER__CA_FILE": str(self.broker.authority), "BROKER__CERT_FILE": str(self.certificate)}
        return System(settings, folder, more=shown | {"BROKER__KEY_FILE": str(self.key)})

    def client(self, **changes: object) -> Broker:
        """Settings of a client that shows its certificate."""
        given = {"url": self.broker.url, "security_protocol": "SSL", "ca_file": self.broker.authority}
        given |= {"cert_file": self.certificate, "key_file": self.key, "request_timeout_ms": 5_000}
        return Broker.model_validate(given | changes)


def certify(folder: Path, name: str, *, authority: Path | None = None) -> tuple[Path, Path]:
    """A certificate and its key: an authority's own, or signed by one (whose key lies beside it)."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = [OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    signed = ["-CA", str(authority), "-CAkey", str(authority.with_suffix(".key"))] if authority else []
    subprocess.run([*command, *signed, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    if not OPENSSL:
        pytest.skip("no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")
    authority, _ = certify(folder, "authority")
    certificate, key = certify(folder, "analyzer", authority=authority)
    security = Security(tls=True, client_authority=authority, acls=True)
    with EmbeddedBroker(security=security) as broker:
        yield Guarded(broker, certificate, key)


@pytest.fixture
def system(guarded: Guarded, topic_prefix: str, tmp_path: Path) -> Iterator[System]:
    running = guarded.system(topic_prefix, tmp_path)
    yield running
    running.stop()


async def allow(system: System, acls: Sequence[Acl]) -> None:
    await change(system, acls, CreateAclsRequest)


async def forbid(system: System, acl: Acl) -> None:
    await change(system, [acl], DeleteAclsRequest)


async def change(system: System, acls: Sequence[Acl], request: type) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=system.settings.broker.url)
    await client.start()
    try:
        for kind, operation, name, prefixed in ((a.kind, a.operation, a.name, a.prefixed) for a in acls):
            pattern = PREFIXED if prefixed else LITERAL
            asked = request(KINDS[kind], name, pattern, PRINCIPAL, "*", OPERATIONS[operation], ALLOW)
            reply = await client._send_request(asked)
            (answer, *_) = getattr(reply, "creation_responses", None) or reply.filter_responses
            assert answer[0] == 0, answer
    finally:
        await client.close()


def worker_settings(system: System) -> Settings:
    """Of the worker that may not create topics."""
    topics = system.settings.topics.model_copy(update={"create": False})
    return system.settings.model_copy(update={"topics": topics})


async def last_line(system: System) -> str:
    """How a worker that stops by itself says why."""
    log = system.folder / "refused.log"
    with log.open("wb") as output:
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "stream_app", "worker"],
            env=worker_environment(system.settings, **system.more),
            stdout=output,
            stderr=output,
            timeout=100,
        )
    assert ended.returncode == 2, log.read_text()[-2_000:]
    return log.read_text().strip().splitlines()[-1]


async def test_a_worker_with_a_certificate_and_these_acls_works_and_without_one_says_which(
    system: System, guarded: Guarded
) -> None:
    await system.create_topics()
    acls = worker_acls(worker_settings(system))
    await allow(system, acls)
    system.start_worker()
    stream = [encode(*one) for one in simulate(users=20, seed=3, start_ms=START_MS, events=60, images=False)]
    await system.send(stream)

    account = await system.account(deadline_s=90)
    system.stop()

    assert account.balanced
    assert account.predictions > 50
    for missing in (acl for acl in acls if acl.kind != "topic" or acl.name == system.names.predictions):
        await forbid(system, missing)
        await system.send(stream)  # copies: something to commit
        line = await last_line(system)
        await allow(system, [missing])
        held = (missing.operation, "DESCRIBE")  # WRITE holds DESCRIBE, which is asked for first
        assert any(f"not allowed: {operation} on" in line for operation in held), line
        assert missing.name in line


async def test_without_the_certificate_one_line_says_what_is_wanted(guarded: Guarded, tmp_path: Path) -> None:
    stranger, key = certify(tmp_path, "stranger")
    for changes, says in (
        ({"cert_file": None, "key_file": None}, "wants a client certificate"),
        ({"cert_file": stranger, "key_file": key}, "does not take the client certificate"),
        ({"ca_file": None}, "broker.ca_file"),
    ):
        access = guarded.client(**changes)
        with pytest.raises(SettingsError) as refused:
            await admin.partition_counts(access, ["any"])
        assert says in str(refused.value)
        assert "\n" not in str(refused.value)
        found = [one for one in await examine(Settings(broker=access, data_dir=tmp_path)) if one.check == "broker"]
        assert [one.status for one in found] == ["fail"]
        assert says in found[0].says
