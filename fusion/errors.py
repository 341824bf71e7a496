"""What can go wrong in the model."""

from __future__ import annotations

from collections.abc import Collection


class NotFiniteError(ValueError):
    """A head gave NaN or infinity for some event of the batch; the message names a head, `rows` the events, if known.

    Whatever comes after the event that is to blame, or only beside it, may be among them.
    """

    def __init__(self, message: str, rows: Collection[int] = ()) -> None:
        super().__init__(message)
        self.rows = rows


class CheckpointError(ValueError):
    """A file is not a model that this version can load; the message is one line."""
