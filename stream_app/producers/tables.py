"""Reading the files of real data sets; what is missing is said in one line."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from stream_app.errors import DependencyError


def parquet_rows(data_dir: Path, name: str) -> list[dict[str, Any]]:
    """All rows of a parquet file of the data folder."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise DependencyError("reading parquet needs pyarrow: pip install 'stream-app[data]'") from None
    rows: list[dict[str, Any]] = parquet.read_table(existing(data_dir / name)).to_pylist()
    return rows


def json_lines(path: Path) -> Iterator[Any]:
    """One value per line of a JSON lines file, gzipped or not."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(existing(path), "rb") as lines:
        for line in lines:
            if line.strip():
                yield orjson.loads(line)


def existing(path: Path) -> Path:
    if not path.exists():
        raise DependencyError(f"no such data: {path} (name the data folder with --data or STREAM_APP_DATA_DIR)")
    return path
