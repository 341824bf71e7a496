"""Dockerfile and Compose: valid, pinned, without privileges, and in the words of our settings."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from stream_app.settings import load

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("stream-app:")]


def images() -> list[str]:
    """Every image that is pulled or built."""
    return [service["image"] for service in SERVICES.values()] + re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)


def test_compose_follows_its_schema() -> None:
    package = importlib.util.find_spec("check_jsonschema")  # found, not imported: its command line wants another click
    assert package is not None
    (folder,) = package.submodule_search_locations or []
    schema = Path(folder) / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(schema.read_text()))


@pytest.mark.parametrize("image", images())
def test_images_are_pinned(image: str) -> None:
    name, _, tag = image.rpartition(":")
    assert name
    assert re.match(r"v?\d+\.\d+\.\d+", tag), image


@pytest.mark.parametrize("name", OURS)
def test_compose_sets_only_settings_that_exist(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = SERVICES[name]["environment"] | dict(re.findall(r"(STREAM_APP_\w+)=(\S+)", DOCKERFILE))
    for key, value in environment.items():
        monkeypatch.setenv(key, re.sub(r"\$\{\w+:\?[^}]*\}", "given-by-the-user", value))
    settings = load()
    assert settings.broker.url == "kafka:9092"
    assert settings.web.token.get_secret_value() == "given-by-the-user"
    assert str(settings.data_dir) in DOCKERFILE


def test_secrets_have_no_default() -> None:
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    assert set(re.findall(r"(?:TOKEN|PASSWORD): (\S{0,3})", text)) == {"${S", "${G"}
    assert ":-" not in text


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports)


def test_services_wait_for_and_mount_only_what_exists() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", ())) <= SERVICES.keys(), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / "deploy" / source).exists(), volume


def test_prometheus_scrapes_the_workers_that_compose_starts() -> None:
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    targets = config["scrape_configs"][0]["static_configs"][0]["targets"]
    assert sorted(targets) == sorted(f"{name}:8080" for name in SERVICES if name.startswith("worker-"))
    assert len(targets) == 2


def test_a_worker_has_time_to_drain() -> None:
    drain_s = load().pipeline.drain_s
    for name in SERVICES:
        if name.startswith("worker-"):
            assert float(SERVICES[name]["stop_grace_period"].removesuffix("s")) > drain_s


def test_the_image_is_slim_unprivileged_and_checks_itself() -> None:
    assert all(base.endswith("-slim-bookworm") for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.M))
    assert re.search(r"^USER \d+$", DOCKERFILE, re.M)
    assert "HEALTHCHECK" in DOCKERFILE
    assert "--require-hashes" in DOCKERFILE


def test_the_image_copies_only_what_exists_and_is_not_ignored() -> None:
    allowed = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text()
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.M):
        for source in line.split():
            assert (ROOT / source).exists(), source
            assert f"!{source}\n" in allowed, source
