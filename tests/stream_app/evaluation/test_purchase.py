from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_app.errors import SettingsError
from stream_app.evaluation.purchase import purchase
from stream_app.evaluation.row import Row, Run
from stream_app.evaluation.session_table import questions_of
from stream_app.producers.sources.rees46 import rees46
from stream_app.training.examples import examples_of
from stream_app.training.logs import real

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def event(user: int, second: int, kind: str, *, price: float = 10.0) -> dict[str, Any]:
    return {
        "event_time": f"2019-10-01 {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02} UTC",
        "event_type": kind,
        "product_id": 1,
        "category_id": 1,
        "category_code": None,
        "brand": "acme",
        "price": price,
        "user_id": user,
        "user_session": f"s{user}",
    }


def shoppers(count: int) -> list[dict[str, Any]]:
    """Whoever fills a cart with something dear buys it, nobody else buys."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(count):
        dear, carts = rng.random(2) < 0.5
        kinds = ["view", "cart" if carts else "view", "view", "purchase" if dear and carts else "view"]
        rows += [event(user, user + 20 * at, kind, price=900.0 if dear else 5.0) for at, kind in enumerate(kinds)]
    return sorted(rows, key=lambda row: str(row["event_time"]))


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(rows), folder / name)


def test_whoever_will_buy_is_told_from_the_rest(tmp_path: Path) -> None:
    write(tmp_path / "mine", "events.parquet", shoppers(1200))
    rows = {row.metric: row for row in purchase(Run(tmp_path, only="mine", quick=True, pictures=tmp_path))}
    cut = rows["at_cut_auc"]
    assert cut.ours > 0.95
    assert cut.baselines["base_rate"] == pytest.approx(0.5, abs=0.1)
    assert rows["every_event_auc"].ours < cut.ours  # the first view says less
    gain = rows["at_cut_auc_gain_over_gradient_boosting"]
    assert gain.ours == pytest.approx(cut.ours - cut.baselines["gradient_boosting"])
    assert (tmp_path / "purchase-mine-at_cut-reliability.png").stat().st_size > 0


def test_nothing_is_asked_at_or_after_a_purchase(tmp_path: Path) -> None:
    kinds = ["view", "cart", "purchase", "view", "purchase"]
    write(tmp_path / "rees46", "events.parquet", [event(1, 10 * at, kind) for at, kind in enumerate(kinds)])
    questions = questions_of(examples_of(real(rees46(tmp_path))))
    assert questions.buys.tolist() == [1, 1]
    assert questions.last.tolist() == [False, True]
    assert questions.table[:, questions.names.index("in_cart")].tolist() == pytest.approx([0, np.log(2)])


def test_sessions_are_asked_with_and_without_the_column_that_comes_too_late(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"PageValues": float(x > 0) * 9, "Month": "May", "ProductRelated": int(y), "Revenue": bool(x > 0)}
        for x, y in zip(rng.normal(size=400), rng.integers(0, 50, 400), strict=True)
    ]
    write(tmp_path / "mine", "sessions.parquet", rows)
    found: dict[str, Row] = {row.metric: row for row in purchase(Run(tmp_path, only="mine", quick=True))}
    assert found["with_page_values_auc"].ours > 0.99
    assert found["without_page_values_auc"].ours == pytest.approx(0.5, abs=0.15)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write(tmp_path / "mine", "events.parquet", [{"event_time": "2019-10-01 00:00:00 UTC"}])
    with pytest.raises(SettingsError, match=r"mine/events.parquet has no column 'brand'"):
        list(purchase(Run(tmp_path, only="mine")))


def test_the_real_stream_is_asked(data_dir: Path) -> None:
    rows = {row.metric: row for row in purchase(Run(data_dir, only="rees46", quick=True))}
    assert rows["every_event_auc"].ours > 0.5
    assert rows["every_event_ece"].ours < 0.05
