"""The attention of `BehaviorEncoder.look_back` as one Triton kernel, for GPUs that are not learning: an event is a
program, and the vectors that it looks at never leave the chip. With TRITON_INTERPRET=1 it runs on a CPU."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from encoders.look_back import FADES_S, LOOKS


@triton.jit
def _look_back(
    table,
    item,
    action,
    age_s,
    same,
    query,
    liking,
    forget,
    read,
    session_s,
    day_s,
    week_s,
    width: tl.constexpr,
    size: tl.constexpr,
    actions: tl.constexpr,
    wide: tl.constexpr,
    kinds: tl.constexpr,
    looks: tl.constexpr,
):
    event = tl.program_id(0).to(tl.int64)
    place, part, kind = tl.arange(0, wide), tl.arange(0, size), tl.arange(0, kinds)
    inside = place < width
    at = event * width + place
    did = tl.load(action + at, inside, 0).to(tl.int32)
    real = did > 0
    first = tl.load(item + 2 * at, real, 0).to(tl.int32)
    second = tl.load(item + 2 * at + 1, real, 0).to(tl.int32)
    vector = tl.load(table + first[:, None] * size + part[None, :], real[:, None], 0.0)
    vector += tl.load(table + second[:, None] * size + part[None, :], real[:, None], 0.0)
    age = tl.load(age_s + at, inside, 0.0)
    score = tl.sum(vector * tl.load(query + event * size + part)[None, :], 1)
    score += tl.load(liking + event * actions + did, real, 0.0) - tl.load(forget) * tl.log(1 + age / 60)
    score = tl.where(real, score, -1e30)
    share = tl.where(real, tl.exp(score - tl.max(score, 0)), 0.0)
    attention = share / tl.maximum(tl.sum(share, 0), 1e-30)
    out = read + event * (size + looks * actions)
    tl.store(out + part, tl.sum(attention[:, None] * vector, 0))
    here = ((did[:, None] == kind[None, :]) & real[:, None]).to(tl.float32)
    known = kind < actions
    out += size + kind
    tl.store(out, tl.sum(here * attention[:, None], 0), known)
    tl.store(out + actions, tl.log(1 + tl.sum(here, 0)), known)
    alike = tl.load(same + at, real, 0).to(tl.float32)
    tl.store(out + 2 * actions, tl.log(1 + tl.sum(here * alike[:, None], 0)), known)
    tl.store(out + 3 * actions, tl.log(1 + tl.sum(here * tl.exp(-age / session_s)[:, None], 0)), known)
    tl.store(out + 4 * actions, tl.log(1 + tl.sum(here * tl.exp(-age / day_s)[:, None], 0)), known)
    tl.store(out + 5 * actions, tl.log(1 + tl.sum(here * tl.exp(-age / week_s)[:, None], 0)), known)


def look_back(
    table: Tensor,  # (rows, 64) item table
    item: Tensor,  # (n, w, 2) item rows, of any whole type
    action: Tensor,  # (n, w) 0 padded
    age_s: Tensor,  # (n, w)
    same: Tensor,  # (n, w) bool
    query: Tensor,  # (n, 64)
    liking: Tensor,  # (n, a) logit of each action
    forget: Tensor,  # () logits lost per unit of log age
) -> Tensor:
    """(n, 64 + 6 a): items attended to, then the counts of actions by weighting, all but the first as logarithms."""
    (count, width), size, actions = action.shape, table.shape[1], liking.shape[1]
    read = table.new_empty(count, size + LOOKS * actions)
    if count:
        shape = {"width": width, "size": size, "actions": actions, "looks": LOOKS}
        padded = {"wide": triton.next_power_of_2(max(width, 1)), "kinds": triton.next_power_of_2(actions)}
        given = (table, item, action, age_s, same, query, liking, forget, read)
        _look_back[(count,)](*given, *FADES_S, **shape, **padded)
    return read
