"""A folder as sentence-transformers writes it: `config.json`, `model.safetensors`, `tokenizer.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from encoders.language.bert import Shape


class FastTokens:
    """The tokeniser of the folder, without its own padding and cutting."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        self.tokens = Tokenizer.from_file(str(path))
        self.tokens.no_padding()

    def __call__(self, texts: list[str], limit: int) -> list[list[int]]:
        """Ids with their frame, at most `limit` of each text."""
        self.tokens.enable_truncation(limit)
        return [each.ids for each in self.tokens.encode_batch(texts)]


def read(folder: Path) -> tuple[dict[str, Tensor], Shape, FastTokens]:
    """Weights, shape and tokeniser. Raises ValueError or OSError where the folder holds no BERT."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
        raise ValueError(f"{folder}: model type {config.get('model_type')!r}; only BERT with gelu is read")
    weights = {name.removeprefix("bert."): tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    shape = Shape(config["num_hidden_layers"], config["num_attention_heads"], config["layer_norm_eps"])
    return weights, shape, FastTokens(folder / "tokenizer.json")
