"""Who is left alone, so that a campaign can be measured."""

from __future__ import annotations

from xxhash import xxh3_64_intdigest

POINTS = 1 << 32


def held_out(user: bytes, *, share: float, campaign: str) -> bool:
    """The same answer for ever, whatever the machine; two campaigns leave different users alone.

    Raising the share keeps those who are held out already.
    """
    return xxh3_64_intdigest(campaign.encode() + b"\0" + user) % POINTS < share * POINTS
