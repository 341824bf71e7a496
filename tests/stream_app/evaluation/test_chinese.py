"""The Chinese transformer: from ONNX to the folder that encoders read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from encoders.language import folder as folders
from stream_app.evaluation.chinese import mostly_chinese, weights, write
from tests.encoders.bert import tiny_weights

onnx = pytest.importorskip("onnx")


def exported() -> onnx.ModelProto:
    """A graph as an exporter leaves it: products have unnamed weights that are turned round, and then a bias."""
    given, nodes = {}, []
    for name, tensor in tiny_weights().items():
        values = tensor.numpy()
        if name.startswith("encoder") and values.ndim == 2:
            number, bias = len(nodes), name.replace(".weight", ".bias")
            given[f"onnx::MatMul_{number}"] = np.ascontiguousarray(values.T)
            nodes.append(onnx.helper.make_node("MatMul", ["x", f"onnx::MatMul_{number}"], [f"product_{number}"]))
            inputs = [bias, f"product_{number}"] if number % 4 else [f"product_{number}", bias]
            nodes.append(onnx.helper.make_node("Add", inputs, [f"sum_{number}"]))
        else:
            given[name] = values
    given["position_ids"] = np.arange(16)[None]
    parts = [onnx.numpy_helper.from_array(values, name) for name, values in given.items()]
    return onnx.helper.make_model(onnx.helper.make_graph(nodes, "bert", [], [], parts))


def test_every_weight_has_its_name_and_side_back() -> None:
    found, wanted = weights(exported()), tiny_weights()
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


def test_what_is_written_is_read_as_a_folder(tmp_path: Path) -> None:
    words = {"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}
    tokens = json.dumps({"model": {**words, "vocab": {"?": 0, "好": 1}}})
    write(tmp_path, exported(), tokens.encode())
    read, shape, _ = folders.read(tmp_path)
    assert read.keys() == tiny_weights().keys()
    assert (shape.layers, shape.heads) == (4, 8)


def test_what_language_it_is() -> None:
    assert mostly_chinese(["质量很好, ok 👍", "", "123"])
    assert not mostly_chinese(["Sehr gut!", "好"])
    assert not mostly_chinese(["とてもよかったです"])
    assert not mostly_chinese([])
