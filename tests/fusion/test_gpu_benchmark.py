"""The GPU benchmark takes every path on a CPU, and says so where there is no card."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from tests.benchmarks.gpu import gpu


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)  # a scorer on a CPU sets one


def test_every_path_runs_on_a_cpu() -> None:
    figures = json.loads(json.dumps(gpu(device="cpu", quick=True)))
    assert (figures["device"], figures["quick"]) == ("cpu", True)
    assert figures["transformer"]["mfu"] is None, "a card's peak says nothing of a CPU"
    assert figures["transformer"]["agreement_with_fp32"]["least_cosine"] > 0.9999
    assert figures["transformer"]["agreement_with_fp32"]["max"] < 1e-3
    assert 0 <= figures["transformer"]["padding_waste"] < 1
    assert max(each["max"] for each in figures["scorer"]["agreement_with_cpu"].values()) < 1e-4
    assert figures["state"]["bytes_per_user"] == 400
    assert all(each > 0 for each in figures["scorer"]["users_fully_scored_per_s"].values())
    rates = ("tokens_per_s", "texts_per_s", "through_score_users_per_s", "updates_per_s")
    flat = {name: number for part in ("transformer", "scorer", "state") for name, number in figures[part].items()}
    assert all(flat[name] > 0 for name in rates)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_card_it_says_so_in_one_line() -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "gpu", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.strip().splitlines()[-1].startswith("no CUDA device")
