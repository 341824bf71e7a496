"""The Kubernetes manifests: in the words of our settings and metrics, without privileges, in step with each other."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_app.metrics import Metrics
from stream_app.settings import load

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
DOCKERFILE = (FOLDER.parent / "Dockerfile").read_text()
DOCUMENTS: dict[str, dict[str, Any]] = {
    one["kind"]: one for path in sorted(FOLDER.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())
}
WORKER: dict[str, Any] = DOCUMENTS["StatefulSet"]["spec"]
POD: dict[str, Any] = WORKER["template"]["spec"]
(CONTAINER,) = POD["containers"]
SCALING: dict[str, Any] = DOCUMENTS["ScaledObject"]["spec"]


@pytest.fixture
def environment() -> dict[str, str]:
    return {one["name"]: one.get("value", "from-elsewhere") for one in CONTAINER["env"]}


def test_it_sets_only_settings_that_exist(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value.replace("$(POD_IP)", "10.0.0.1"))
    settings = load()
    assert settings.web.token.get_secret_value() == "from-elsewhere"
    assert settings.topics.partitions == SCALING["maxReplicaCount"], "more workers than partitions have nothing to do"


def test_everything_selects_the_same_pods() -> None:
    labels = WORKER["template"]["metadata"]["labels"]
    assert WORKER["selector"]["matchLabels"] == labels
    assert DOCUMENTS["Service"]["spec"]["selector"] == labels
    assert DOCUMENTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert WORKER["serviceName"] == DOCUMENTS["Service"]["metadata"]["name"]
    target = SCALING["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("StatefulSet", DOCUMENTS["StatefulSet"]["metadata"]["name"])


def test_it_scales_on_metrics_that_exist() -> None:
    known = {metric.name for metric in Metrics().registry.collect()}
    (query,) = [one["metadata"]["query"] for one in SCALING["triggers"] if one["type"] == "prometheus"]
    assert set(re.findall(r"behavior_\w+", query)) <= known
    assert "behavior_lag_seconds" in query


def test_it_runs_without_privileges_and_keeps_its_data() -> None:
    assert POD["securityContext"]["runAsNonRoot"]
    assert f"--uid {POD['securityContext']['runAsUser']} " in DOCKERFILE
    rights = CONTAINER["securityContext"]
    assert not rights["allowPrivilegeEscalation"]
    assert rights["readOnlyRootFilesystem"]
    assert rights["capabilities"] == {"drop": ["ALL"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert f"STREAM_APP_DATA_DIR={mounts['data']} " in DOCKERFILE
    assert {claim["metadata"]["name"] for claim in WORKER["volumeClaimTemplates"]} == {"data"}


def test_probes_and_ports_are_those_of_the_worker() -> None:
    assert {CONTAINER[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        "/healthz",
        "/readyz",
    }
    (port,) = CONTAINER["ports"]
    assert f"EXPOSE {port['containerPort']}" in DOCKERFILE
    assert re.search(rf"^ *CMD .*:{port['containerPort']}/healthz", DOCKERFILE, re.M)
