"""Work `dashboards`: a real Prometheus scrapes a running worker under load; every query of every panel is executed."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml
from aiohttp import ClientError, ClientSession

from fusion.scorer import ARTEFACT
from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import worker_environment
from stream_app.models import orders
from tests.benchmarks.serving import sending
from tests.kafka.workers import System, settings_for, until, url_of

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
INTERVAL = "30s"
"""What Grafana puts in for $__rate_interval."""
Panel = tuple[str, str]


def panels(dashboard: Path) -> Iterator[tuple[str, str]]:
    """Title and expression of every query."""
    for panel in json.loads(dashboard.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def dashboards(*, rate: int, partitions: int, deadline_s: float = 150) -> dict[str, Any]:
    """Per dashboard and panel how many series its queries gave; `empty` names those that gave none."""
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        raise SystemExit("prometheus is not installed")
    with TemporaryDirectory() as name, EmbeddedBroker(partitions=partitions) as broker:
        folder = Path(name)
        settings = settings_for(broker.url, "panels.", folder, partitions=partitions)
        system = System(settings, folder, {"MODEL__DRIFT_EVENTS": "1000"})  # else drift takes longer than we wait
        asyncio.run(system.create_topics())
        worker = system.start_worker()
        try:
            target = asyncio.run(until(lambda: url_of(worker), deadline_s=120))
            (folder / "models").mkdir(exist_ok=True)
            shutil.copy(ARTEFACT, folder / "models" / "same.safetensors")
            asyncio.run(orders.set_shadow(settings, "same.safetensors", 0.5))
            with sending(worker_environment(settings), rate, "--bad", "0.01"):
                found = asyncio.run(_watched(prometheus, folder, target, deadline_s))
        finally:
            system.stop()
    empty = [f"{board}: {title}" for board, rows in found.items() for title, n in rows.items() if not n]
    return {**found, "queries": sum(len([*panels(path)]) for path in DASHBOARDS), "empty": empty}


async def _watched(prometheus: str, folder: Path, target: str, deadline_s: float) -> dict[str, dict[str, int]]:
    """Until no panel is empty, or the deadline."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "2s", "evaluation_interval": "2s"}
    config["rule_files"] = [str(DEPLOY / "prometheus" / "rules.yml")]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target.removeprefix("http://")]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{probe.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        prometheus,
        *("--config.file=prometheus.yml", "--storage.tsdb.path=series", f"--web.listen-address={url}"),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until_s = time.monotonic() + deadline_s
    try:
        async with ClientSession(f"http://{url}") as session:
            while True:
                found = {path.stem: await _asked(session, path) for path in DASHBOARDS}
                if all(all(rows.values()) for rows in found.values()) or time.monotonic() > until_s:
                    return found
                await asyncio.sleep(2)
    finally:
        process.terminate()
        await process.wait()


async def _asked(session: ClientSession, dashboard: Path) -> dict[str, int]:
    """Series per panel; 0 as soon as one of its queries has none."""
    rows: dict[str, int] = {}
    for title, expression in panels(dashboard):
        n = await series(session, expression)
        rows[title] = min(n, rows[title]) and rows[title] + n if title in rows else n
    return rows


async def series(session: ClientSession, expression: str) -> int:
    """How many series with a finite value the query gives now."""
    query = expression.replace("$__rate_interval", INTERVAL)
    try:
        async with session.get("/api/v1/query", params={"query": query}) as response:
            body = await response.json()
    except ClientError:
        return 0  # not up yet
    if body["status"] == "error":
        raise RuntimeError(f"{expression}: {body['error']}")
    return sum(bool(np.isfinite(float(sample["value"][1]))) for sample in body["data"]["result"])
