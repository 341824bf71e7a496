"""The image suite on a tiny catalogue whose kinds can be told by photo and by title, and on the real one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stream_app.errors import DependencyError, SettingsError
from stream_app.evaluation import Row, Run
from stream_app.evaluation.image import catalogue, folds_of, image
from stream_app.evaluation.resampling import mean_interval

pyarrow = pytest.importorskip("pyarrow")
KINDS = {"Shirt": (220, 20, 20), "Shoe": (20, 220, 20), "Bag": (20, 20, 220)}


def shop(folder: Path, count: int = 90, *, without: str = "") -> None:
    """A colour and a word for each kind; every tenth photo is broken."""
    from pyarrow import parquet, table

    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        kind = list(KINDS)[number % 3]
        noisy = (np.array(KINDS[kind]) + rng.normal(0, 25, (20, 20, 3))).clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(noisy).save(file, "JPEG")
        (folder / "images" / f"{number}.jpg").write_bytes(b"broken" if number % 10 == 9 else file.getvalue())
        rows.append(
            {
                "id": number,
                "productDisplayName": f"Brand {number // 2} {kind}",
                "subCategory": kind,
                "masterCategory": "Apparel",
                "baseColour": "Red" if kind == "Shirt" else "Other",
                "season": "Summer",
            }
        )
    columns = {name: [row[name] for row in rows] for name in rows[0] if name != without}
    parquet.write_table(table(columns), folder / "products.parquet")


def by_metric(rows: Sequence[Row]) -> dict[str, Row]:
    return {row.metric: row for row in rows}


def test_a_rule_is_learned_and_hidden_titles_cannot_tell(tmp_path: Path) -> None:
    shop(tmp_path / "mine")
    rows = by_metric(list(image(Run(tmp_path, only="mine", seeds=1, quick=True, pictures=tmp_path))))
    accuracy = rows["accuracy"]
    assert accuracy.baselines["colours_lr"] > 0.95
    assert accuracy.baselines["majority"] < 0.5
    hidden = rows["accuracy, title hidden"]
    assert hidden.baselines["title"] < 0.6
    assert rows["accuracy, with title"].baselines["tfidf_lr"] > hidden.baselines["tfidf_lr"] + 0.3
    better = max(accuracy.baselines["photo"], accuracy.baselines["title"])
    assert rows["gain over the better one"].ours == pytest.approx(accuracy.ours - better)
    assert accuracy.ours > accuracy.baselines["majority"] + 0.1
    assert rows["share of products with a readable photo"].ours == pytest.approx(0.9)
    assert rows["photos encoded per second, one thread"].ours > 10
    assert (tmp_path / "image-mine-confusion.png").stat().st_size > 5_000


def test_titles_are_hidden_alike_each_time_and_products_of_one_title_share_a_fold(tmp_path: Path) -> None:
    shop(tmp_path / "mine", 40)
    products, again = (catalogue(tmp_path / "mine", most=None) for _ in range(2))
    assert products.title.tolist() == again.title.tolist()
    assert 8 < sum(title is None for title in products.title) < 28
    names = np.repeat(np.array([f"name {n}" for n in range(50)], object), 2)
    fold = folds_of(names, 5, 0)
    assert (fold[::2] == fold[1::2]).all()
    assert set(fold.tolist()) == set(range(5))
    assert (fold != folds_of(names, 5, 1)).any()


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    shop(tmp_path / "mine", 9, without="season")
    with pytest.raises(SettingsError, match=r"products\.parquet: no column season"):
        list(image(Run(tmp_path, only="mine")))


def test_an_unreadable_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "products.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(DependencyError, match=r"products\.parquet"):
        list(image(Run(tmp_path, only="mine")))


def test_a_catalogue_without_photos_is_refused(tmp_path: Path) -> None:
    shop(tmp_path / "mine", 9)
    for photo in (tmp_path / "mine" / "images").iterdir():
        photo.unlink()
    with pytest.raises(DependencyError, match="no readable photo"):
        list(image(Run(tmp_path, only="mine")))


def test_what_is_not_there_is_skipped(tmp_path: Path) -> None:
    assert list(image(Run(tmp_path))) == []


def test_cases_of_one_group_are_drawn_together() -> None:
    right = np.tile([1.0, 0.0], 200)
    alone = mean_interval(right, np.arange(400))
    paired = mean_interval(right, np.repeat(np.arange(200), 2))  # every pair has one right answer
    assert paired == (0.5, 0.5)
    assert alone[0] < 0.47
    assert alone[1] > 0.53


def test_real_products_are_told_apart(data_dir: Path) -> None:
    rows = by_metric(list(image(Run(data_dir, quick=True))))
    assert rows["accuracy"].ours > rows["accuracy"].baselines["majority"] + 0.08
    assert rows["share of products with a readable photo"].ours == 1
