"""What a user did, as two vectors per event: a decaying recurrent state and an attentive look back."""

import importlib
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.graphs import has_kernels
from encoders.linear import Linear, quick
from encoders.look_back import FADES_S, LOOKS, look_around, look_back
from encoders.protocol import VECTOR, Encoded
from encoders.recurrence import FEW, step, steps
from encoders.scratch import Scratch, room, space

STATE = 128
ITEM_ROWS = 4096
CONTEXT_ROWS = 1024
CONTEXT = 16


class Acts(NamedTuple):
    """n events of u users, those of one user consecutive; the last L events before them in the ring."""

    row: NDArray[np.int64]  # (n,) non-decreasing user column
    item: NDArray[np.uint64]  # (n,) hash, 0 absent
    category: NDArray[np.uint64]  # (n,)
    brand: NDArray[np.uint64]  # (n,)
    action: NDArray[np.int64]  # (n,) 1..actions; 0 is padding
    time_ms: NDArray[np.int64]  # (n,)
    gap_s: NDArray[np.float32]  # (n,) -1 for a user's first
    numerics: NDArray[np.float32]  # (n, k) NaN absent
    ring_item: NDArray[np.uint64]  # (u, L) newest last
    ring_action: NDArray[np.int64]  # (u, L) 0 where padded
    ring_time_ms: NDArray[np.int64]  # (u, L)
    state: NDArray[np.int8]  # (u, 128) carried, in 127ths


PER_ACT = ("row", "item", "category", "brand", "action", "time_ms", "gap_s", "numerics")
"""Columns of Acts that hold one row of each event."""


class Steps(NamedTuple):
    """Acts ready for the device; w <= L is the longest look back that this batch needs."""

    item: Tensor  # (n, 2) int64 rows of the item table
    context: Tensor  # (n, 2) int64 category and brand rows
    action: Tensor  # (n,) int64
    numerics: Tensor  # (n, 2k + 2) float32, absent masked
    gap_s: Tensor  # (n,) float32, 0 for the first
    look_item: Tensor  # (n, w, 2) int32 item rows, the event itself last
    look_action: Tensor  # (n, w) int32, 0 padded
    look_age_s: Tensor  # (n, w) float32
    look_same: Tensor  # (n, w) bool: the same item as the event's
    state: Tensor  # (u, 128) int8
    order: Tensor  # (n,) int64 events in the order in which the recurrence takes them
    place: Tensor  # (n,) int64 inverse of order
    users: Tensor  # (u,) int64 user columns, the busiest first
    active: list[int]  # users that take part in each step


class BehaviorEncoder(nn.Module):
    """Event tokens into a GRU with learned decay per channel; attention over the ring as the read-out.

    `forward` gives (n, 256): the state after each event, the read-out, and the items looked at in item space.
    Event k sees nothing after k.
    """

    size = STATE + 2 * VECTOR
    scratch: Scratch | None = None
    """Where large arrays lie while nothing is learned, the answer too: it holds until the next one."""

    def __init__(self, actions: int, numerics: int) -> None:
        super().__init__()
        self.actions = actions
        self.items = nn.Embedding(2 * ITEM_ROWS + 1, VECTOR, padding_idx=0)
        self.context = nn.Embedding(2 * CONTEXT_ROWS + 1, CONTEXT, padding_idx=0)
        self.action = nn.Embedding(actions + 1, CONTEXT, padding_idx=0)
        self.token = Linear(VECTOR + 3 * CONTEXT + 2 * numerics + 2, STATE)
        self.inward = Linear(STATE, 3 * STATE)
        self.across = Linear(STATE, 3 * STATE)
        self.decay = nn.Parameter(torch.linspace(-6, -1, STATE))
        self.ask = Linear(2 * STATE, VECTOR)
        self.ask_action = Linear(2 * STATE, actions + 1)
        self.forget = nn.Parameter(torch.zeros(()))
        self.tell = Linear(VECTOR + LOOKS * (actions + 1), VECTOR)
        with torch.no_grad():
            self.items.weight[1:].normal_(std=(2 * VECTOR) ** -0.5)

    def prepare(self, track: Acts, live: NDArray[np.bool_] | None = None) -> Steps:
        """Hash ids to rows, look up each event's ring, plan the recurrence.

        Events that are not `live` (n,) are there to be looked back at, and have no steps of their own.
        """
        users, length = track.ring_action.shape
        n = len(track.row)
        longest = int((track.ring_action > 0).sum(1).max(initial=0))
        counts = np.bincount(track.row, minlength=users)
        width = min(length, longest + int(counts.max(initial=0)))
        look_item, look_action = np.empty((n, width, 2), np.int32), np.empty((n, width), np.int32)
        look_age_s, look_same = np.empty((n, width), np.float32), np.empty((n, width), np.bool_)
        past = (track.ring_item, track.ring_action, track.ring_time_ms)
        looks = (look_item, look_action, look_age_s, look_same)
        look_around(track.row, track.item, track.action, track.time_ms, *past, ITEM_ROWS, *looks)
        if live is not None:
            look_item, look_action, look_age_s, look_same = (look[live] for look in looks)
            track = track._replace(**{name: getattr(track, name)[live] for name in PER_ACT})
            counts = np.bincount(track.row, minlength=users)
        plan = planned(track.row, counts)
        absent = np.isnan(track.numerics)
        gap = track.gap_s.clip(0)
        numerics = np.concatenate(
            [
                np.where(absent, 0, track.numerics).clip(-20, 20),
                absent,
                np.log1p(gap)[:, None] / 4,
                (track.gap_s < 0)[:, None],
            ],
            1,
            dtype=np.float32,
        )
        return Steps(
            torch.from_numpy(item_rows(track.item)),
            torch.from_numpy(context_rows(track.category, track.brand)),
            torch.from_numpy(track.action),
            torch.from_numpy(numerics),
            torch.from_numpy(gap.astype(np.float32)),
            torch.from_numpy(look_item),
            torch.from_numpy(look_action),
            torch.from_numpy(look_age_s),
            torch.from_numpy(look_same),
            torch.from_numpy(np.ascontiguousarray(track.state)),
            *plan,
        )

    def forward(self, prepared: Steps) -> Encoded:
        """(n, 256): state after the event (quantised as it is carried), read-out, attended items."""
        own = self.item_vectors(prepared.item)  # (n, 64)
        n = len(own)
        token = torch.cat(
            [own, self.context(prepared.context).view(n, 2 * CONTEXT), self.action(prepared.action), prepared.numerics],
            -1,
        )
        token = self.token(token, then="relu")  # (n, 128)
        state = self.recur(token, prepared)  # (n, 128)
        asked = torch.cat([state, token], -1, out=room(self.scratch, "asked", n, 2 * STATE))
        told = self.look_back(asked, prepared)
        vector = torch.cat([state, *told], -1, out=room(self.scratch, "vector", n, self.size))
        seen = (prepared.look_action > 0).sum(-1)
        return Encoded(vector, seen > 0, torch.log1p(seen.float()) / 3.5)

    def item_vectors(self, rows: Tensor) -> Tensor:
        """(n, 64) of item rows (n, 2). Row 0 stays zero by getting no gradient; reading it as any other is faster."""
        padding = 0 if torch.is_grad_enabled() else None
        return F.embedding_bag(rows, self.items.weight, mode="sum", padding_idx=padding)

    def recur(self, token: Tensor, prepared: Steps) -> Tensor:
        """The GRU over every user's events, all users abreast: (n, 128), quantised after each step."""
        token = token[prepared.order]
        kept = torch.exp(-F.softplus(self.decay) * torch.log1p(prepared.gap_s / 60)[prepared.order, None])
        state = prepared.state[prepared.users].float() / 127  # (u, 128)
        if quick(token):
            return self.quick_steps(token, kept, state, prepared.active)[prepared.place]
        inward = self.inward(token)  # (n, 384)
        states: list[Tensor] = []
        for x, keep in zip(torch.split(inward, prepared.active), torch.split(kept, prepared.active), strict=True):
            before = state[: len(x)] * keep
            h = self.across(before)
            gates = (x[:, : 2 * STATE] + h[:, : 2 * STATE]).sigmoid()
            reset, update = gates.chunk(2, -1)
            new = torch.addcmul(x[:, 2 * STATE :], reset, h[:, 2 * STATE :]).tanh()
            state = stepped(torch.lerp(new, before, update))
            states.append(state)
        return torch.cat(states)[prepared.place] if states else token[:0]

    def quick_steps(self, token: Tensor, kept: Tensor, state: Tensor, active: list[int]) -> Tensor:
        """The same (n, 128), in the order of the steps; the last ones, of few users, without a product of matrices."""
        states = space(self.scratch, "states", len(token), STATE)
        if not active:
            return states
        inward = self.inward.product(token, out=room(self.scratch, "inward", len(token), 3 * STATE))
        before = state[: active[0]] * kept[: active[0]]
        biases = torch.stack([self.inward.bias, self.across.bias]).detach().numpy()
        said, keep, left, made = (part.numpy() for part in (inward, kept, before, states))
        wide, at = sum(users > FEW for users in active), 0
        for users, following in zip(active[:wide], [*active[1:], 0], strict=False):
            end = at + users
            across = self.across.product(before[:users], out=room(self.scratch, "across", users, 3 * STATE))
            step(said[at:end], across.numpy(), biases, left, keep[end : end + following], made[at:end])
            at = end
        if wide < len(active):
            weight = self.across.weight.detach().numpy()
            steps(said[at:], keep[at:], weight, biases, np.array(active[wide:]), left, made[at:])
        return states

    def look_back(self, asked: Tensor, steps: Steps) -> tuple[Tensor, Tensor]:
        """Attention over the last positions before and at each event: read-out and mean item, both (n, 64)."""
        if quick(asked):
            read = self.quick_look(asked, steps)
            return self.tell(read, then="relu"), read[:, :VECTOR]
        if not torch.is_grad_enabled() and has_kernels(asked.device):
            read = self.look_there(asked, steps)
            return self.tell(read, then="relu"), read[:, :VECTOR]
        n, width = steps.look_action.shape
        items = self.item_vectors(steps.look_item.view(n * width, 2)).view(n, width, VECTOR)
        log_age = torch.log1p(steps.look_age_s / 60)
        score = (
            torch.bmm(items, self.ask(asked)[:, :, None]).squeeze(-1)
            + self.ask_action(asked).gather(1, steps.look_action.long())
            - F.softplus(self.forget) * log_age
        )  # (n, w)
        real = steps.look_action > 0
        attention = score.masked_fill(~real, float("-inf")).softmax(-1) if width else score
        fading = [real * torch.exp(steps.look_age_s / -fade_s) for fade_s in FADES_S]
        weights = torch.stack([attention, real.float(), steps.look_same.float(), *fading], 1)  # (n, 6, w)
        acts = F.one_hot(steps.look_action.long(), self.actions + 1).float()  # (n, w, a)
        counts = torch.bmm(weights, acts)  # (n, 6, a)
        counts = torch.cat([counts[:, :1], torch.log1p(counts[:, 1:])], 1).flatten(1)
        found = torch.bmm(attention[:, None], items).squeeze(1)  # (n, 64)
        return self.tell(torch.cat([found, counts], -1), then="relu"), found

    def look_there(self, asked: Tensor, steps: Steps) -> Tensor:
        """The same on a GPU, in one kernel."""
        kernel: Any = importlib.import_module("encoders.look_back_kernel")  # Triton brings a compiler along: if needed
        looks = (steps.look_item, steps.look_action, steps.look_age_s, steps.look_same)
        read: Tensor = kernel.look_back(
            self.items.weight, *looks, self.ask(asked), self.ask_action(asked), F.softplus(self.forget)
        )
        return read

    def quick_look(self, asked: Tensor, steps: Steps) -> Tensor:
        """What `look_back` tells, (n, 64 + counts), in one pass over memory."""
        read = asked.new_empty(len(asked), self.tell.in_features)
        look_back(
            self.items.weight.detach().numpy(),
            steps.look_item.numpy(),
            steps.look_action.numpy(),
            torch.log1p(steps.look_age_s / 60).numpy(),
            torch.exp(steps.look_age_s / -FADES_S[-1]).numpy(),
            steps.look_same.numpy(),
            self.ask(asked).numpy(),
            self.ask_action(asked).numpy(),
            float(F.softplus(self.forget)),
            read.numpy(),
        )
        read[:, VECTOR + self.actions + 1 :].log1p_()  # all but the attention
        return read


def stepped(state: Tensor) -> Tensor:
    """The state in whole 127ths, as it is carried, with the gradient of the original."""
    return state + (torch.round(state * 127) / 127 - state).detach()


def planned(row: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """The order of the recurrence: step k takes the k-th event of every user that has one, the busiest first."""
    users = np.argsort(-counts, kind="stable")
    rank = np.empty_like(users)
    rank[users] = np.arange(len(users))
    nth = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    order = np.lexsort((rank[row], nth))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return (
        torch.from_numpy(order),
        torch.from_numpy(place),
        torch.from_numpy(users),
        np.bincount(nth, minlength=0).tolist(),
    )


def item_rows(item: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Two table rows per item hash (..., 2): 16 million distinct pairs; 0, 0 where absent."""
    rows = np.stack([item & np.uint64(4095), ((item >> np.uint64(12)) & np.uint64(4095)) + np.uint64(ITEM_ROWS)], -1)
    return np.where(item[..., None] == 0, 0, rows + np.uint64(1)).astype(np.int64)


def context_rows(category: NDArray[np.uint64], brand: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Table rows of category and brand (n, 2), 0 where absent."""
    both = np.stack([category, brand], -1)
    rows = both % np.uint64(CONTEXT_ROWS) + np.array([1, CONTEXT_ROWS + 1], np.uint64)
    return np.where(both == 0, 0, rows).astype(np.int64)
