"""The suite on a tiny shop whose next item follows a rule, and on the real one."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from stream_app.errors import SettingsError
from stream_app.evaluation.next_item import next_item
from stream_app.evaluation.row import Row, Run

pa = pytest.importorskip("pyarrow")


def shop(folder: Path, *, sessions: int, column: str = "items") -> Path:
    """Sessions that walk a ring of 60 items one by one, from anywhere, and sometimes look again."""
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    walks = []
    for _ in range(sessions):
        walk = [int(rng.integers(60))]
        for _ in range(int(rng.integers(2, 7))):
            walk.append(walk[-1] if rng.random() < 0.2 else (walk[-1] + 1) % 60)
        walks.append([item * 10 + 7 for item in walk])
    folder.mkdir()
    parquet.write_table(pa.table({column: walks}), folder / "train_sessions.parquet")
    return folder.parent


def run(data: Path, **asked: object) -> dict[str, Row]:
    made = Run(data, console=Console(file=io.StringIO()), quick=True, **{"seeds": 1, **asked})  # type: ignore[arg-type]
    return {row.metric: row for row in next_item(made)}


def test_a_rule_is_learned_and_stands_beside_its_baselines(tmp_path: Path) -> None:
    rows = run(shop(tmp_path / "ring", sessions=2000), only="ring", pictures=tmp_path)
    assert (tmp_path / "next-item-ring.png").stat().st_size > 5000
    hit, rank = rows["P@20"], rows["MRR@20"]
    assert hit.ours > 0.95 > 0.5 > hit.baselines["popularity"]
    assert rank.ours > 0.8 > rank.baselines["popularity"]
    assert rank.ours > max(rank.baselines[name] for name in ("item_knn", "s_pop"))
    assert hit.interval is not None
    assert hit.interval[0] <= hit.ours <= hit.interval[1]
    assert rows["P@20, repeated target"].baselines["s_pop"] == 1
    carried = rows["MRR@20, carried state int8 against fp32"]
    assert abs(carried.ours) < 0.02


def test_folders_of_another_layout_are_left_out_and_wrong_columns_named(tmp_path: Path) -> None:
    (tmp_path / "reviews").mkdir()
    assert run(tmp_path, only="reviews") == {}
    assert run(tmp_path, seeds=2) == {}
    shop(tmp_path / "odd", sessions=30, column="products")
    with pytest.raises(SettingsError, match=r"odd/train_sessions.parquet has no column items"):
        run(tmp_path, only="odd")


def test_the_real_clicks_can_be_read_and_answered(data_dir: Path) -> None:
    rows = run(data_dir, only="yoochoose1_64")
    assert rows["P@20"].ours > rows["P@20"].baselines["popularity"]
    assert rows["P@20"].baselines["published_sr_gnn"] == 0.7057
