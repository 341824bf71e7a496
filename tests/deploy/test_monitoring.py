"""Prometheus rules and Grafana dashboards: valid, tested, and about metrics that exist."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from aiohttp import ClientSession

from stream_app.events import ACTIONS
from stream_app.events.dead_letters import CODES
from stream_app.metrics import STAGES, TOPICS, Metrics
from stream_app.models.drift import COLUMNS
from stream_app.models.grades import Grade, stats
from stream_app.settings import Web
from stream_app.web import Live, Status, WebServer
from tests.benchmarks.dashboards import DASHBOARDS, DEPLOY, panels, series

RULES = DEPLOY / "prometheus" / "rules.yml"
PROMETHEUS_OWN = {"up", "ALERTS"}
NAME = re.compile(r"\b(?:behavior_\w+|behavior:[\w:]+|process_\w+|up(?=\{))")


def tool(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"{name} is not installed")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def busy_metrics() -> Metrics:
    """Metrics in which everything has happened at least once."""
    metrics = Metrics(signals=("hot_lead",))
    metrics.set_model(name="fused", version="1", digest="abc")
    for partition in range(2):
        metrics.set_task(partition, watermark_lag_s=5, rows=10, size_bytes=1000)
        metrics.set_restored(partition, 0.2)
        for topic in TOPICS:
            metrics.set_lag(topic, partition, records=3, seconds=0.5)
    grade = Grade("1-abc", 1, ACTIONS)
    metrics.models.show("live", grade)
    metrics.models.psi = lambda: dict.fromkeys(COLUMNS, 0.05)
    work(metrics)
    return metrics


def work(metrics: Metrics) -> None:
    """One more batch."""
    metrics.observe_batch(
        consumed=dict.fromkeys(TOPICS, 25),
        verdicts={(topic, "predicted"): 25 for topic in TOPICS},
        arrival_ms=np.full(100, 1_700_000_000_000),
        committed_ms=1_700_000_000_030,
        dead_letters={("decode", code): 1 for code in CODES},
        engagement={"update": 2, "final": 1},
        signals={"hot_lead": 1},
    )
    for stage in STAGES:
        metrics.observe_stage(stage, 0.002, 100, cpu_seconds=0.001)
    metrics.observe_transaction(committed=True)
    metrics.device_busy.labels("cpu").inc(0.1)
    scores, outcome = np.linspace(0.01, 0.99, 40), np.arange(40) % 2
    no, yes = stats(scores, outcome, 2)
    for grade in metrics.models.grades.values():
        grade.add("purchase", no, yes)
        grade.add("churn", no, yes)
        grade.add_choices(scores, outcome == 1)
    metrics.models.shadow_events.inc(100)
    metrics.models.shadow_distance.inc(2)


def existing_names() -> set[str]:
    samples = [sample.name for family in busy_metrics().registry.collect() for sample in family.samples]
    recorded = [rule["record"] for rule in rules() if "record" in rule]
    return {*samples, *recorded} | PROMETHEUS_OWN


@pytest.mark.prometheus
@pytest.mark.parametrize(
    "arguments", [("check", "config", "--lint=all", "prometheus.yml"), ("test", "rules", "rules_test.yml")]
)
def test_promtool_finds_no_fault(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [tool("promtool"), *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_in_a_rule_exists() -> None:
    named = {name for rule in rules() for name in NAME.findall(rule["expr"])}
    assert len(named) > 10
    assert named <= existing_names()


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_metric_on_a_dashboard_exists(dashboard: Path) -> None:
    for title, expression in panels(dashboard):
        named = set(NAME.findall(expression))
        assert named, title
        assert named <= existing_names(), title


def test_every_alert_has_a_summary_a_runbook_a_severity_and_a_test() -> None:
    tested = (DEPLOY / "prometheus" / "rules_test.yml").read_text()
    for rule in rules():
        if "alert" in rule:
            assert rule["annotations"].keys() == {"summary", "runbook"}, rule["alert"]
            assert rule["labels"]["severity"] in ("critical", "warning", "info")
            assert f'alertname="{rule["alert"]}"' in tested, f"no test in which {rule['alert']} fires"


def test_dashboards_are_provisioned_where_grafana_looks() -> None:
    assert DASHBOARDS
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    for dashboard in DASHBOARDS:
        body = json.loads(dashboard.read_text())
        assert body["uid"]
        ids = [panel["id"] for panel in body["panels"]]
        assert len(set(ids)) == len(ids)
        assert {panel["datasource"]["uid"] for panel in body["panels"]} == {source["uid"]}
        assert all(panel["title"] and panel["description"] for panel in body["panels"])


def test_panels_do_not_overlap() -> None:
    for dashboard in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(dashboard.read_text())["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
            assert not cells & taken, panel["title"]
            assert at["x"] + at["w"] <= 24
            taken |= cells


@pytest.mark.prometheus
@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
async def test_no_panel_is_empty_on_a_real_prometheus(dashboard: Path, tmp_path: Path) -> None:
    binary, metrics = tool("prometheus"), busy_metrics()
    status = Status(metrics)
    server = WebServer(Web(port=0), metrics, status, Live(metrics, status))
    await server.start()
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(RULES)]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [server.url.removeprefix("http://")]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    url = f"127.0.0.1:{free_port()}"
    arguments = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={url}")
    process = await asyncio.create_subprocess_exec(
        binary, *arguments, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        async with ClientSession(f"http://{url}") as session:
            empty = [title for title, _ in panels(dashboard)]
            for _ in range(60):
                work(metrics)
                await asyncio.sleep(0.5)
                empty = [title for title, expression in panels(dashboard) if not await series(session, expression)]
                if not empty:
                    break
        assert empty == []
    finally:
        process.terminate()
        await process.wait()
        await server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
