"""Texts read in order: convolutions (Kim 2014) over a frozen transformer's state of each token and learned vectors of
the token and its neighbour, which tell what the transformer was never taught to tell apart; or over characters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.device import device_of, seeds_of
from fusion.descent import descend

ROWS = 1 << 16
LEARNED = 96
CHANNELS = 128
EPOCHS = 3
BATCH = 64
RATE = 2e-3
DECAY = 0.02
LONGEST = 512
_ALIKE = 40
_PRIME = 1_000_003


@dataclass(frozen=True)
class States:
    """n texts as their m tokens; a text's are those from `start` to `end`. About 2 d bytes a token."""

    hidden: NDArray[np.float16]  # (m, d), d 0 where no model has read them
    ids: NDArray[np.int64]  # (m,) above 0
    start: NDArray[np.int64]  # (n,)
    end: NDArray[np.int64]  # (n,) above `start`

    def __getitem__(self, index: NDArray[np.int64]) -> States:
        """The chosen texts; tokens are shared, not copied."""
        return States(self.hidden, self.ids, self.start[index], self.end[index])

    @property
    def length(self) -> NDArray[np.int64]:
        """(n,) tokens."""
        return self.end - self.start

    def batch(self, index: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Padded, on the device: states (b, t, d), table rows (b, t, 2) of each token and of it with the next, and
        which are real."""
        length = self.length[index]
        real = np.arange(length.max())[None] < length[:, None]
        hidden = np.zeros((*real.shape, self.hidden.shape[1]), np.float16)
        rows = np.zeros((*real.shape, 2), np.int64)
        for at, text in enumerate(index):
            inside = slice(self.start[text], self.end[text])
            hidden[at, : length[at]] = self.hidden[inside]
            ids = self.ids[inside]
            rows[at, : length[at], 0] = ids
            rows[at, : length[at] - 1, 1] = ids[:-1] * _PRIME + ids[1:]
        mixed = (rows.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(48)).astype(np.int64)  # 0 stays 0
        states, places, there = (torch.from_numpy(part).to(device) for part in (hidden, mixed, real))
        return states.float(), places, there


def characters(texts: Sequence[str]) -> States:
    """The first LONGEST characters of each text as its tokens; a blank for one without any."""
    codes = [np.frombuffer((text[:LONGEST] or " ").encode("utf-32-le"), np.uint32) for text in texts]
    end = np.cumsum([len(each) for each in codes])
    ids = np.concatenate(codes).astype(np.int64)
    return States(np.zeros((len(ids), 0), np.float16), ids, np.concatenate([[0], end[:-1]]), end)


class Net(nn.Module):
    """States and rows to k logits."""

    def __init__(self, width: int, targets: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width) if width else nn.Identity()
        self.tables = nn.ModuleList(nn.Embedding(ROWS, LEARNED, sparse=True) for _ in range(2))
        for table in self.tables:
            nn.init.normal_(table.weight, std=0.1)  # type: ignore[arg-type]
        self.near = nn.Conv1d(width + LEARNED, CHANNELS, 3, padding=1)
        self.far = nn.Conv1d(LEARNED, CHANNELS, 5, padding=2)
        self.out = nn.Linear(4 * CHANNELS, targets)

    def forward(self, hidden: Tensor, rows: Tensor, real: Tensor) -> Tensor:
        """(b, k) from the peaks and the means of what the convolutions find."""
        word = sum(table(rows[..., at]) for at, table in enumerate(self.tables))
        word = F.dropout(word, 0.3, self.training) * real[..., None]  # (b, t, LEARNED)
        state = F.dropout(self.norm(hidden), 0.1, self.training) * real[..., None]
        near = self.near(torch.cat([state, word], -1).transpose(1, 2))
        found = F.gelu(torch.cat([near, self.far(word.transpose(1, 2))], 1))  # (b, 2 CHANNELS, t)
        peak = found.masked_fill(~real[:, None], -1).amax(-1)  # gelu is above -1
        mean = (found * real[:, None]).sum(-1) / real.sum(1, keepdim=True)
        logits: Tensor = self.out(F.dropout(torch.cat([peak, mean], 1), 0.5, self.training))
        return logits


class Convolution:
    """Learns from states; the same seed gives the same answers."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.device = device_of()
        self.net: nn.Module = nn.Identity()

    def fit(self, x: States, targets: NDArray[np.int64]) -> Convolution:
        """Targets 0 or 1 (n, k); Adam, one cycle of the rate."""
        rng = np.random.default_rng(self.seed)
        with torch.random.fork_rng(devices=seeds_of(self.device)):
            torch.manual_seed(self.seed)
            net = Net(x.hidden.shape[1], targets.shape[1]).to(self.device)
            truth = torch.from_numpy(targets).float().to(self.device)
            tables = list(net.tables.parameters())
            dense = [each for name, each in net.named_parameters() if not name.startswith("tables")]
            optimisers: list[torch.optim.Optimizer] = [
                torch.optim.SparseAdam(tables, RATE),
                torch.optim.AdamW(dense, RATE, weight_decay=DECAY),
            ]
            steps = EPOCHS * -(-len(x.start) // BATCH)
            schedules = [
                torch.optim.lr_scheduler.OneCycleLR(each, RATE, total_steps=steps, pct_start=0.15, cycle_momentum=False)
                for each in optimisers
            ]
            for _ in range(EPOCHS):
                for chosen in shuffled(x.length, rng):
                    loss = F.binary_cross_entropy_with_logits(net(*x.batch(chosen, self.device)), truth[chosen])
                    descend(loss, optimisers, schedules)
        self.net = net.eval()
        return self

    def decision_function(self, x: States) -> NDArray[np.float32]:
        """(n, k) logits of yes."""
        return answered(x, BATCH, lambda chosen: self.net(*x.batch(chosen, self.device)))


def answered(x: States, size: int, answer: Callable[[NDArray[np.int64]], Tensor]) -> NDArray[np.float32]:
    """(n, k) what is answered to batches of the texts (b,), those of like length together."""
    order = np.argsort(x.length, kind="stable")
    with torch.inference_mode():
        parts = [answer(order[at : at + size]) for at in range(0, len(order), size)]
    answers: NDArray[np.float32] = torch.cat(parts).cpu().numpy()[np.argsort(order)]
    return answers


def shuffled(length: NDArray[np.int64], rng: np.random.Generator, size: int = BATCH) -> Iterator[NDArray[np.int64]]:
    """Batches by chance whose texts are of like length, so that little is padding; as many as without."""
    order = rng.permutation(len(length))
    drawn = [order[i : i + _ALIKE * size] for i in range(0, len(order), _ALIKE * size)]
    alike = np.concatenate([each[np.argsort(length[each], kind="stable")] for each in drawn])
    batches = [alike[i : i + size] for i in range(0, len(alike), size)]
    for at in rng.permutation(len(batches)):
        yield batches[at]
