"""Work `gpu`: the model on one CUDA card, with nothing but this repository and torch; on a CPU every path, small.

Rates are wall time with the device waited for at the end: medians of turns. Weights of the transformer are random and
of MiniLM-L6's shape where its package is absent; speed does not depend on them, agreement hardly.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from encoders.language.bert import Bert, Shape
from encoders.language.quick_bert import QuickBert
from encoders.language.transformer import Tokens, loaded, located, padded
from encoders.protocol import quantise
from fusion.accelerator import Accelerator
from fusion.device_state import DeviceState, Resident
from fusion.features import FeatureBatch
from fusion.inputs import CARRIED, MEMORIES
from fusion.scorer import Scorer
from tests.fusion.shoppers import ACTIONS, filled, shoppers

PEAK_TFLOPS = 989.4
"""Dense bfloat16 of an H100 SXM and of an H200, as NVIDIA's data sheets say; MFU is relative to this."""
WIDTH, LAYERS, HEADS, WORDS, PLACES = 384, 6, 12, 30_522, 512
LONGEST = 128
TURNS = 5
CALLS_S = 2.0
"""About which single calls of one kind are measured."""


class NoCardError(RuntimeError):
    """There is no CUDA device."""


def gpu(*, device: str = "cuda", quick: bool = False) -> dict[str, Any]:
    """Figures of one card. Raises NoCardError."""
    if device == "cuda" and not torch.cuda.is_available():
        raise NoCardError("no CUDA device: the gpu benchmark needs one (--device cpu --quick only tries its paths)")
    there = torch.device(device)
    torch.manual_seed(0)
    return {
        "device": torch.cuda.get_device_name(there) if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "quick": quick,
        "transformer": transformer(there, quick),
        "scorer": scoring(there, quick),
        "state": state_updates(there, quick),
    }


def minilm() -> tuple[Bert, str]:
    """The packaged model, or chance weights of its shape."""
    try:
        return loaded(located("minilm"), (), torch.float32)[0], "all-MiniLM-L6-v2"
    except ModuleNotFoundError:
        return Bert(chance_weights(), Shape(LAYERS, HEADS)), "random weights of MiniLM-L6's shape"


def chance_weights() -> dict[str, Tensor]:
    """A BERT as it is before it has learned anything."""
    names = {"word_embeddings": WORDS, "position_embeddings": PLACES, "token_type_embeddings": 2}
    weights = {f"embeddings.{name}.weight": torch.randn(rows, WIDTH) * 0.02 for name, rows in names.items()}
    parts = dict.fromkeys(("self.query", "self.key", "self.value", "output.dense"), (WIDTH, WIDTH))
    linear = {f"attention.{name}": shape for name, shape in parts.items()}
    linear |= {"intermediate.dense": (4 * WIDTH, WIDTH), "output.dense": (WIDTH, 4 * WIDTH)}
    norms = ["embeddings.LayerNorm"]
    for at in (f"encoder.layer.{layer}" for layer in range(LAYERS)):
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
        for name, shape in linear.items():
            weights |= {f"{at}.{name}.weight": torch.randn(shape) * 0.05, f"{at}.{name}.bias": torch.zeros(shape[0])}
    for name in norms:
        weights |= {f"{name}.weight": torch.ones(WIDTH), f"{name}.bias": torch.zeros(WIDTH)}
    return weights


def mixed_texts(count: int, seed: int = 0) -> Tokens:
    """Token ids of texts with log-normal lengths, median 18, mean about 24, 3 to 128."""
    rng = np.random.default_rng(seed)
    lengths = np.exp(rng.normal(np.log(18), 0.75, count)).astype(int).clip(3, LONGEST)
    return padded([rng.integers(1_000, 30_000, length).tolist() for length in lengths])


def transformer(device: torch.device, quick: bool) -> dict[str, Any]:
    """Tokens per second through packing, copy and encoder; the answers against float32 on the CPU."""
    bert, weights = minilm()
    precision = torch.bfloat16 if device.type == "cuda" else torch.float32
    reader = QuickBert(bert, longest=LONGEST, device=device, precision=precision)
    texts = mixed_texts(40 if quick else 20_000)
    took_s = median_s(lambda: reader.pooled(texts), device, 1 if quick else TURNS)
    waste = 1 - reader.tokens / reader.filled
    tokens = int(texts.real.sum())
    squares = float((texts.real.sum(1).double() ** 2).sum())
    products = 2 * 12 * bert.width**2 * bert.shape.layers * tokens + 4 * bert.width * bert.shape.layers * squares
    few = mixed_texts(16 if quick else 512, seed=1)
    latency = {}
    for count in (1, 16) if quick else (1, 16, 256):
        some = mixed_texts(count)
        latency[str(count)] = latency_ms(lambda some=some: reader.pooled(some), device, quick)
    return {
        "weights": weights,
        "precision": str(precision).removeprefix("torch."),
        "texts": len(texts.ids),
        "mean_tokens": round(tokens / len(texts.ids), 1),
        "tokens_per_s": round(tokens / took_s),
        "texts_per_s": round(len(texts.ids) / took_s),
        "mfu": round(products / took_s / (PEAK_TFLOPS * 1e12), 4) if device.type == "cuda" else None,
        "mfu_peak_tflops": PEAK_TFLOPS,
        "padding_waste": round(waste, 4),
        "padding_waste_unpacked": round(1 - tokens / texts.real.numel(), 4),
        "latency_ms_by_texts": latency,
        "agreement_with_fp32": agreement(reader.pooled(few).cpu(), by_padding(bert, few)),
    }


@torch.inference_mode()
def by_padding(bert: Bert, texts: Tokens) -> Tensor:
    """The padded path in float32 on the CPU."""
    hidden = bert(texts.ids, texts.real)
    mask = texts.real[..., None]
    return (hidden * mask).sum(1) / mask.sum(1)


def agreement(ours: Tensor, theirs: Tensor) -> dict[str, float]:
    """Differences of vectors (n, d), and how alike the least alike pair is."""
    apart = (ours - theirs).abs()
    alike = F.cosine_similarity(ours, theirs, dim=-1)
    return {"max": float(apart.max()), "mean": float(apart.mean()), "least_cosine": float(alike.min())}


def scoring(device: torch.device, quick: bool) -> dict[str, Any]:
    """The shipped artefact: users with one event each, through `score` as the stream calls it, and the device alone."""
    scorer = Scorer.load(device=device.type, actions=ACTIONS)
    if scorer._accelerator is None:
        scorer._accelerator = Accelerator(scorer._net, device)
    threads = torch.get_num_threads()
    plain = Scorer.load(device="cpu", actions=ACTIONS)
    if device.type == "cuda":
        torch.set_num_threads(threads)  # what the other way set them to would halve the rate of copies to the card
    hashes = filled(scorer.index, items=500 if quick else 10_000, visits=3_000 if quick else 60_000)
    filled(plain.index, items=500 if quick else 10_000, visits=3_000 if quick else 60_000)
    sizes = (1, 64) if quick else (1, 64, 512, 4_096, 16_384, 65_536)
    table = DeviceState(sizes[-1], device)
    found: dict[str, Any] = {"latency_ms_by_users": {}}
    for size in sizes:
        batch = shoppers(size, users=size, hashes=hashes)
        resident = Resident(table, np.arange(size))
        found["latency_ms_by_users"][str(size)] = latency_ms(
            lambda batch=batch, resident=resident: scorer.score(batch, resident=resident), device, quick
        )
    slowest = found["latency_ms_by_users"][str(sizes[-1])]
    found["through_score_users_per_s"] = round(sizes[-1] / slowest["p50"] * 1e3)
    found["users_fully_scored_per_s"], found["device_ms_by_users"] = {}, {}
    for size in sizes[-2:]:
        batch = shoppers(size, users=size, hashes=hashes)
        took_s = one_behind_another_s(scorer, batch, Resident(table, np.arange(size)), device, quick)
        found["users_fully_scored_per_s"][str(size)] = round(size / took_s)
        found["device_ms_by_users"][str(size)] = round(took_s * 1e3, 3)
    batch = shoppers(sizes[1], seed=9, hashes=hashes)
    ours, theirs = scorer.score(batch), plain.score(batch)
    apart = {
        head: np.abs(ours.columns[head]["score"] - theirs.columns[head]["score"])
        for head in ("purchase", "churn", "anomaly")
    }
    found["agreement_with_cpu"] = {
        head: {"max": float(each.max()), "mean": float(each.mean())} for head, each in apart.items()
    }
    return found


@torch.inference_mode()
def one_behind_another_s(
    scorer: Scorer, batch: FeatureBatch, resident: Resident, device: torch.device, quick: bool
) -> float:
    """Seconds of a batch whose inputs are prepared, when batches follow each other: the copy there, users' vectors
    read, all encoders, fusion, every head's columns, users' vectors written. Preparing them, and which products lie in
    the direction that a head gives, are the host's work and not in it."""
    accelerator = scorer._accelerator
    assert accelerator is not None
    inputs, notes = scorer._prepare(batch, resident=True)
    batches = 2 if quick else 8

    def work() -> None:
        for _ in range(batches):
            output, _ = accelerator(inputs, resident)
            resident.keep(notes.last, output.state, output.memory)

    return median_s(work, device, 1 if quick else TURNS) / batches


@torch.inference_mode()
def state_updates(device: torch.device, quick: bool) -> dict[str, Any]:
    """Gather, one step of the recurrence, quantise and scatter, at random rows of a table in the device's memory."""
    users, batch = (1_000, 64) if quick else (1_000_000, 65_536)
    scorer = Scorer.load(device=device.type, actions=ACTIONS)
    behavior, table = scorer._net.behavior, DeviceState(users, device)
    sample = shoppers(batch, users=batch, words=0)
    steps, _ = scorer._prepare(replace(sample, carried=np.zeros(batch, CARRIED)))
    moved = steps.to(device).steps
    token = torch.randn(batch, 128, device=device)
    rows = [table.at(np.random.default_rng(turn).permutation(users)[:batch]) for turn in range(4)]
    turn = 0

    def work() -> None:
        nonlocal turn
        at, turn = rows[turn % len(rows)], turn + 1
        state, memories = table.gather(at)
        after = torch.round(behavior.recur(token, moved._replace(state=state)) * 127).to(torch.int8)
        table.scatter(at, after, {name: quantise(memories[:, i]) for i, name in enumerate(MEMORIES)})

    took_s = median_s(work, device, 1 if quick else 4 * TURNS)
    return {
        "updates_per_s": round(batch / took_s),
        "batch": batch,
        "users": users,
        "bytes_per_user": table.size_bytes // users,
    }


def waited_s(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device has done it."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def median_s(work: Callable[[], object], device: torch.device, turns: int) -> float:
    """Of some turns, after two that do not count: graphs are captured and kernels chosen then."""
    for _ in range(1 if turns == 1 else 2):
        waited_s(work, device)
    return float(np.median([waited_s(work, device) for _ in range(turns)]))


def latency_ms(work: Callable[[], object], device: torch.device, quick: bool) -> dict[str, float]:
    """Of single calls, 20 to 200 as time allows."""
    for _ in range(1 if quick else 5):
        waited_s(work, device)
    calls = 2 if quick else int(np.clip(CALLS_S / waited_s(work, device), 20, 200))
    took = [waited_s(work, device) * 1e3 for _ in range(calls)]
    return {"p50": round(float(np.quantile(took, 0.5)), 3), "p99": round(float(np.quantile(took, 0.99)), 3)}
