"""The fault suite, short: whatever breaks, nothing is lost, repeated or miscounted. Long: `python -m tests.faults`."""

from pathlib import Path

import pytest

from tests.faults.run import WRONG, run


@pytest.mark.kafka
@pytest.mark.timeout(600)
async def test_nothing_is_lost_repeated_or_miscounted_whatever_breaks(tmp_path: Path) -> None:
    kinds = ("kill", "kill_broker", "join", "leave")

    result = await run(tmp_path, faults=4, events=4_000, rate=200, seed=3, kinds=kinds)

    assert result["faults"] == 4
    assert result["failed"] == []
    assert result["events"] >= 4_000
    assert {name: result[name] for name in WRONG} == dict.fromkeys(WRONG, 0)
