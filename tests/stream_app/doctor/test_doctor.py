"""The doctor names what is wrong, and what to do about it, on a real broker."""

import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from stream_app.broker import EmbeddedBroker, Security
from stream_app.doctor import CHECKS, Finding, examine
from stream_app.settings import Broker, Model, Settings, Topics, Web
from stream_app.transport import admin


def settings(url: str, tmp_path: Path, **sections: object) -> Settings:
    given = {"broker": Broker(url=url), "web": Web(port=0), "data_dir": tmp_path, **sections}
    return Settings(**given)


def of(findings: list[Finding], check: str) -> list[Finding]:
    return [finding for finding in findings if finding.check == check]


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def test_a_sound_setup_has_nothing_to_mend(broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path) -> None:
    chosen = settings(broker.url, tmp_path, topics=Topics(prefix=topic_prefix, partitions=2))
    await admin.create(chosen.broker, admin.plans(chosen.topics))
    findings = await examine(chosen)
    assert {finding.check for finding in findings} == set(CHECKS)
    assert [finding for finding in findings if finding.status == "fail"] == []
    assert of(findings, "topics")[0].status == of(findings, "broker")[0].status == "ok"


async def test_a_closed_broker_is_named_and_what_stands_on_it_skipped(tmp_path: Path) -> None:
    address = f"127.0.0.1:{closed_port()}"
    findings = await examine(settings(address, tmp_path))
    (finding,) = of(findings, "broker")
    assert finding.status == "fail"
    assert address in finding.says
    assert finding.remedy
    assert {f.status for name in ("topics", "progress") for f in of(findings, name)} == {"skip"}


async def test_inputs_that_are_not_co_partitioned_are_named(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    chosen = settings(broker.url, tmp_path, topics=Topics(prefix=topic_prefix))
    one, other = admin.plans(Topics(prefix=topic_prefix, partitions=2))[:2]
    await admin.create(chosen.broker, [one])
    await admin.create(
        chosen.broker, [p for p in admin.plans(Topics(prefix=topic_prefix, partitions=3)) if p.name == other.name]
    )
    (finding,) = of(await examine(chosen), "topics")
    assert finding.status == "fail"
    assert one.name in finding.says
    assert other.name in finding.says


async def test_missing_topics_are_no_failure_where_the_worker_creates_them(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    for create, status in ((True, "warn"), (False, "fail")):
        chosen = settings(broker.url, tmp_path, topics=Topics(prefix=topic_prefix, create=create))
        (finding,) = of(await examine(chosen), "topics")
        assert finding.status == status
        assert "missing" in finding.says


async def test_a_wrong_password_says_so_without_telling_it(tmp_path: Path) -> None:
    with EmbeddedBroker(security=Security(users={"shop": "open-sesame"})) as guarded:
        for password, status in (("guess-it", "fail"), ("open-sesame", "ok")):
            access = Broker(
                url=guarded.url,
                security_protocol="SASL_PLAINTEXT",
                username="shop",
                password=SecretStr(password),
                request_timeout_ms=5_000,
            )
            (finding,) = of(await examine(settings(guarded.url, tmp_path, broker=access)), "broker")
            assert finding.status == status, finding
            assert password not in str(finding)
            assert ("wrong password" in finding.says) == ("password" in finding.remedy) == (status == "fail")


@pytest.mark.parametrize(
    ("sections", "check", "says"),
    [
        ({"web": Web(host="0.0.0.0", port=0)}, "security", "token"),
        ({"model": Model(path=Path("no-such.safetensors"))}, "model", "no-such.safetensors"),
        ({"data_dir": Path("/proc/nowhere")}, "machine", "/proc/nowhere"),
    ],
)
async def test_what_cannot_work_is_a_failure(
    broker: EmbeddedBroker, tmp_path: Path, sections: dict[str, object], check: str, says: str
) -> None:
    found = of(await examine(settings(broker.url, tmp_path, **sections)), check)
    assert any(finding.status == "fail" and says in finding.says and finding.remedy for finding in found), found


async def test_a_broken_artefact_is_named(broker: EmbeddedBroker, tmp_path: Path) -> None:
    broken = tmp_path / "half.safetensors"
    broken.write_bytes(b'\x08\0\0\0\0\0\0\0{"a":1')
    (finding,) = of(await examine(settings(broker.url, tmp_path, model=Model(path=broken))), "model")
    assert finding.status == "fail"
    assert broken.name in finding.says
    assert "\n" not in finding.says


async def test_another_program_on_the_workers_port_is_noticed(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        busy.settimeout(10)
        port = int(busy.getsockname()[1])

        async def silent() -> list[Finding]:
            return of(await examine(settings(broker.url, tmp_path, web=Web(port=port))), "worker")

        (finding,) = await silent()
    assert finding.status == "fail"
    assert "web.port" in finding.remedy


async def test_records_that_wait_are_counted(broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path) -> None:
    from aiokafka import AIOKafkaProducer

    chosen = settings(broker.url, tmp_path, topics=Topics(prefix=topic_prefix, partitions=1))
    await admin.create(chosen.broker, admin.plans(chosen.topics))
    producer = AIOKafkaProducer(bootstrap_servers=broker.url)
    await producer.start()
    for _ in range(3):
        await producer.send_and_wait(f"{topic_prefix}clicks", b"{}", b"u")
    await producer.stop()
    (finding,) = of(await examine(chosen), "progress")
    assert finding.status == "warn"
    assert finding.says.startswith("3 records wait")
