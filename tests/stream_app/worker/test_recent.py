"""The last values of the keys that came last: against a plain dictionary of lists."""

from __future__ import annotations

import random

from stream_app.worker.recent import ROOM, Recent


def test_it_says_what_a_dictionary_of_lists_would() -> None:
    rng = random.Random(3)
    recent, plain = Recent(keys=7, each=3), dict[bytes, list[bytes]]()
    for _ in range(500):
        pairs = [
            (b"key-%d" % rng.randrange(12), rng.randbytes(rng.choice((0, 1, 700, ROOM, ROOM + 1))))
            for _ in range(rng.randrange(5))
        ]
        recent.add(pairs)
        for key, value in pairs:
            plain[key] = [value, *plain.pop(key, [])][:3]  # the newest first, and the key last
            if len(plain) > 7:
                del plain[next(iter(plain))]
        for number in range(12):
            assert recent.of(b"key-%d" % number) == plain.get(b"key-%d" % number, [])
    assert len(recent) == 7


def test_a_key_that_nobody_gave_has_none() -> None:
    assert Recent(keys=1, each=1).of(b"stranger") == []
