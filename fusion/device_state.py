"""Users' carried vectors in the device's memory, a row per user: what the model reads and writes, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.behavior import STATE
from encoders.protocol import VECTOR
from fusion.inputs import MEMORIES, Inputs

Rows = NDArray[np.int64]


class DeviceState:
    """400 bytes a user: recurrent state and memories as int8 with their scales. One thread, one stream.

    The host keeps counts, times, confidences and whether there is a memory (its scale), for it prepares with those,
    and whatever its changelog needs, which comes back with the answers.
    """

    def __init__(self, users: int, device: torch.device) -> None:
        self.device = device
        self.state = torch.zeros(users, STATE, dtype=torch.int8, device=device)
        self.vector = torch.zeros(users, len(MEMORIES), VECTOR, dtype=torch.int8, device=device)
        self.scale = torch.zeros(users, len(MEMORIES), device=device)

    @property
    def size_bytes(self) -> int:
        """Of the whole table."""
        return self.state.nbytes + self.vector.nbytes + self.scale.nbytes

    def put(self, rows: Rows, carried: NDArray[np.void]) -> None:
        """Write users as the host holds them: after a restore, or a row given to somebody else."""
        at = self.at(rows)
        memories = [carried[name] for name in MEMORIES]
        self.state[at] = torch.from_numpy(carried["state"].copy()).to(self.device)
        self.vector[at] = torch.from_numpy(np.stack([each["vector"] for each in memories], 1)).to(self.device)
        self.scale[at] = torch.from_numpy(np.stack([each["scale"] for each in memories], 1)).to(self.device)

    def at(self, rows: Rows) -> Tensor:
        """Rows as an index on the device."""
        return torch.from_numpy(np.asarray(rows, np.int64)).to(self.device)

    def gather(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """States (u, 128) int8 and memories (u, 4, 64) float32."""
        return self.state[at], self.vector[at] * self.scale[at, :, None]

    def scatter(self, at: Tensor, state: Tensor, memory: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Write what the model made of distinct users (u,)."""
        self.state[at] = state
        self.vector[at] = torch.stack([memory[name][0] for name in MEMORIES], 1)
        self.scale[at] = torch.stack([memory[name][1] for name in MEMORIES], 1)


@dataclass
class Resident:
    """Where a batch's users lie in a table: rows (u,), all different."""

    table: DeviceState
    rows: Rows
    at: Tensor | None = None
    """The rows on the device, once they are there."""

    def lent(self, inputs: Inputs, at: Tensor) -> Inputs:
        """Inputs on the device that were prepared without vectors, with them; `at` are the rows, there."""
        self.at = at
        state, memories = self.table.gather(at)
        held = {name: inputs.memories[name]._replace(carried=memories[:, i]) for i, name in enumerate(MEMORIES)}
        return replace(inputs, steps=inputs.steps._replace(state=state), memories=held)

    def keep(self, last: Rows, state: Tensor, memory: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Write the users that had an event; `last` (u,) is -1 for others."""
        if self.at is not None and (last >= 0).all():
            self.table.scatter(self.at, state, memory)
            return
        users = np.flatnonzero(last >= 0)
        some = self.table.at(users)
        made = {name: (whole[some], scale[some]) for name, (whole, scale) in memory.items()}
        self.table.scatter(self.table.at(self.rows[users]), state[some], made)
