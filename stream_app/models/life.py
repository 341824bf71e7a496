"""Which model serves, as the control topic says; swaps, refuses, takes back. No Kafka: records come in, one goes out.

A swap is one assignment on the event loop, and a batch keeps the model that it began with: no batch is mixed, nothing
waits. All tasks of a worker swap with their next batch; each prediction names its model.

Taking back: only the worker whose task owns the control record's partition judges, and the record leaves in that task's
transaction: Kafka fences any second writer. It judges by its own tasks' grades since its start, so a model that took
over before a restart is not judged. A record that names what it takes back is void once another one has come between;
whoever judges then says once more what holds, so that the compacted topic ends with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from fusion.recommender import ItemIndex
from stream_app.errors import EventError
from stream_app.metrics import Metrics
from stream_app.models import change as changes
from stream_app.models.artefact import RefusedError, Served, configured, digest_of, serve
from stream_app.models.change import Artefact, ModelChange
from stream_app.models.drift import Drift
from stream_app.models.grades import Grade, worse
from stream_app.models.shadow import Shadow
from stream_app.records import RecordLike
from stream_app.settings import Settings

log = logging.getLogger(__name__)


class Shadowing(NamedTuple):
    """A model in the shadow, for a share of the users."""

    served: Served
    share: float


class Models:
    """Event loop only, but for the loading. `live` and `shadowing` may be read at any time between batches."""

    def __init__(self, live: Served, *, settings: Settings, metrics: Metrics, device: Executor) -> None:
        self._settings, self._metrics, self._device = settings, metrics, device
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._grades: dict[tuple[str, str], Grade] = {}
        self.grades: dict[int, Grade] = {}  # of live models, by number
        self.live = live
        self.shadowing: Shadowing | None = None
        self._before: Served | None = None
        self._change: ModelChange | None = None  # what holds
        self._position = -1  # offset of the last record that was not void
        self._judged = -1
        self._started = False
        self._outbox: bytes | None = None
        self.drift = Drift(live.config.metrics, events=settings.model.drift_events)
        self._install(live)

    def grade_of(self, live: Served) -> Grade:
        """Of a model that serves or has served."""
        return self._grade("live", live)

    def new_shadow(self) -> Shadow | None:
        """For one task, a shadow of its own; None while no model is in the shadow."""
        if self.shadowing is None:
            return None
        return Shadow(
            *self.shadowing,
            self._grade("shadow", self.shadowing.served),
            session_gap_ms=self._settings.state.session_gap_ms,
            metrics=self._metrics.models,
            device=self._device,
        )

    async def start(self, records: Sequence[RecordLike]) -> None:
        """Begin with what the control topic holds; a broken artefact gives way to the one before it."""
        change: ModelChange | None = None
        for record in records:
            change = self._read(record) or change
        if change is not None and not await self._adopt(change) and change.before is not None:
            await self._adopt(ModelChange(digest=change.before.digest, path=change.before.path))
        self._started = True

    async def take_in(self, records: Sequence[RecordLike], *, judge: bool) -> None:
        """Control records, as they come. `judge`: this worker may say what holds."""
        for record in records:
            position = self._position
            change = self._read(record)
            if change is not None:
                await self._adopt(change)
            elif judge and self._change is not None and position == self._position and _is_model(record):
                self._outbox = changes.encode(self._change)

    def judge(self) -> None:
        """Ask for the model before the live one, if that is doing worse; once per swap."""
        settings, change, before = self._settings.model, self._change, self._before
        if change is None or before is None or change.before is None or not settings.returns:
            return
        if self._judged == self._position or change.before.digest != before.named.digest:
            return
        old = self._grade("live", before)
        reason = worse(self.grade_of(self.live), old, margin=settings.return_margin, least=settings.return_after)
        back = reason and changes.taken_back(change, self._position, reason)
        if back:
            self._judged = self._position
            self._outbox = changes.encode(back)
            log.warning("the model does worse than the one before", extra={"model": self.live.label, "why": reason})

    def due(self) -> bytes | None:
        """A record for the control topic, once."""
        value, self._outbox = self._outbox, None
        return value

    def close(self) -> None:
        """Load nothing more."""
        self._loader.shutdown(wait=False, cancel_futures=True)

    def _read(self, record: RecordLike) -> ModelChange | None:
        """The change that now holds; None for other records, unreadable and void ones."""
        if not _is_model(record):
            return None
        try:
            change = changes.decode(record.value or b"")
        except EventError as error:
            self._refuse(RefusedError("record", str(error)), record.offset)
            return None
        if self._position >= 0 and change.instead_of not in (None, self._position):
            log.info("control record is void", extra={"position": record.offset, "instead_of": change.instead_of})
            return None
        self._change, self._position, self._outbox = change, record.offset, None
        return change

    async def _adopt(self, change: ModelChange) -> bool:
        """Make it so; False where the live model was refused and the running one goes on."""
        served = await self._ready(Artefact(digest=change.digest, path=change.path))
        await self._follow(change.shadow)
        if served is None:
            return False
        if served.scorer is not self.live.scorer:
            self._before = self.live
            self.drift = Drift(served.config.metrics, events=self._settings.model.drift_events, before=self.drift)
            if self._started:
                self._metrics.models.swaps.inc()
            if self._started and change.instead_of is not None:
                self._metrics.models.returns.inc()
            log.info(
                "model swapped",
                extra={
                    "model": served.label,
                    "before": self.live.label,
                    "position": self._position,
                    "why": change.reason,
                },
            )
        self.live = replace(served, position=self._position)
        self._install(self.live)
        return True

    async def _follow(self, wanted: changes.Shadow | None) -> None:
        """Put a model in the shadow, or none."""
        if wanted is None:
            self.shadowing = None
            return
        shadow = await self._ready(Artefact(digest=wanted.digest, path=wanted.path))
        if shadow is None:
            self.shadowing = None
        elif self.shadowing is None or (self.shadowing.served.named, self.shadowing.share) != (
            shadow.named,
            wanted.share,
        ):
            self.shadowing = Shadowing(shadow, wanted.share)
            self._metrics.models.show("shadow", self._grade("shadow", shadow))
            log.info("model in the shadow", extra={"model": shadow.label, "share": wanted.share})

    async def _ready(self, named: Artefact) -> Served | None:
        """The model of that name: one at hand, or loaded and warm; None where it is refused."""
        for known in (self.live, self._before, self.shadowing and self.shadowing.served):
            if known is not None and known.named.digest == named.digest:
                return known
        started_s = time.perf_counter()
        load: Callable[[], Served] = lambda: serve(  # noqa: E731
            self._settings, named, index=self.live.scorer.index, running=self.live
        )
        try:
            served = await asyncio.get_running_loop().run_in_executor(self._loader, load)
        except RefusedError as error:
            self._refuse(error, self._position)
            return None
        self._metrics.models.load.set(time.perf_counter() - started_s)
        return served

    def _refuse(self, error: RefusedError, position: int) -> None:
        self._metrics.models.refused.labels(error.reason).inc()
        log.error(
            "model refused: %s", error, extra={"reason": error.reason, "position": position, "model": self.live.label}
        )

    def _install(self, live: Served) -> None:
        grade = self._grade("live", live)
        self.grades[grade.number] = grade
        self._metrics.set_model(**dict(zip(("name", "version", "digest"), live.scorer.model, strict=True)))
        self._metrics.models.show("live", grade)
        self._metrics.models.psi = self.drift.psi

    def _grade(self, role: str, served: Served) -> Grade:
        digest = served.named.digest
        found = self._grades.get((digest, role))
        if found is None:
            number = int(digest[:8], 16) or 1
            found = self._grades[digest, role] = Grade(served.label, number, served.config.actions)
        return found


def load_configured(settings: Settings, *, index: ItemIndex | None = None) -> Served:
    """The model that the settings name; raises RefusedError."""
    return serve(settings, Artefact(digest=digest_of(configured(settings))), index=index)


def _is_model(record: RecordLike) -> bool:
    return record.key == changes.KEY and bool(record.value)
