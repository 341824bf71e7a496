"""What a head's rendering comes to, as Python values."""

from __future__ import annotations

from typing import Any

import orjson

from fusion.columnar_json import Fields, Node, rows


def outputs(node: Node, n: int) -> list[Any]:
    """Of n rows; None where a row has none."""
    return [orjson.loads(row).get("output") for row in rows(Fields({"output": node}), n)]
