from pathlib import Path

import pytest

from stream_app.broker.process import free_ports, last_useful_line


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("INFO fine\nERROR no room\n\tat a.B.c\n\t... 3 more\nINFO bye\n", "ERROR no room"),
        ("ERROR exit\nx.y.ZException: disk full\n\tat a.B.c\nERROR bye\n", "x.y.ZException: disk full"),
        ("WARN a\nWARN b\n", "WARN b"),
        ("", "no output"),
    ],
)
def test_the_last_useful_line_says_what_went_wrong(tmp_path: Path, log: str, told: str) -> None:
    path = tmp_path / "broker.log"
    path.write_text(log)
    assert last_useful_line(path) == told


def test_free_ports_are_distinct_and_out_of_the_ephemeral_range() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(15_000 <= port < 32_000 for port in ports)
