"""What the server asks its worker; the server itself knows no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from stream_app.insights.part import Part


class Answers(Protocol):
    """None: this worker does not know the user."""

    async def user(self, user: str) -> Mapping[str, Any] | None: ...
    async def recommendations(self, user: str) -> Mapping[str, Any] | None: ...
    def insights(self, metric: str | None = None, windows: int = 1, top: int = 20) -> Sequence[Part]: ...
    def items(self, products: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """What the catalogue says of products."""

    async def photo(self, product: str) -> bytes | None:
        """A small JPEG."""

    def owner(self, user: str) -> str | None:
        """Address of the worker that has the user's state."""
