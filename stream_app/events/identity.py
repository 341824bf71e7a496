"""Who an event is of. Producers often send a placeholder where they know nobody."""

import re
from collections.abc import Sequence

PLACEHOLDERS = frozenset(("", "null", "undefined", "guest", "anonymous", "0", "nan", "[object object]"))


# JSON Schema's regular expressions know no flags: each letter in both cases
_SPELT = sorted("".join(f"[{c}{c.upper()}]" if c.isalpha() else re.escape(c) for c in word) for word in PLACEHOLDERS)
LEGAL_PATTERN = rf"^(?!\s*(?:{'|'.join(_SPELT)})\s*$)"


def is_legal(user_id: str | None) -> bool:
    """Whether it names somebody; case and surrounding white space do not matter."""
    return user_id is not None and user_id.strip().lower() not in PLACEHOLDERS


def users(user_ids: Sequence[str | None], anonymous_ids: Sequence[str | None]) -> list[bytes | None]:
    """Per event the user id, else the anonymous id, as UTF-8; None where neither is legal."""
    if None not in user_ids and PLACEHOLDERS.isdisjoint(map(str.lower, map(str.strip, user_ids))):  # type: ignore[arg-type]
        return list(map(str.encode, user_ids))  # type: ignore[arg-type]
    legal = {user: user.encode() for user in {*user_ids, *anonymous_ids} if user is not None and is_legal(user)}
    return [
        legal.get(user) or legal.get(anonymous)  # type: ignore[arg-type]
        for user, anonymous in zip(user_ids, anonymous_ids, strict=True)
    ]
