"""Steps 3 to 6 of one task's batch: admit, update, score, derive; ends with the records to publish. No Kafka."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from msgspec.json import encode
from numpy.typing import NDArray

from fusion.features import FeatureBatch, PredictionBatch
from fusion.recommender import ItemActivity, strength_codes
from stream_app.errors import EventError
from stream_app.events import ACTIONS, EventBatch
from stream_app.events.batch import Objects
from stream_app.events.dead_letters import dead_letter
from stream_app.events.hashing import hash64
from stream_app.events.late import late_event
from stream_app.insights import ledger as insights
from stream_app.insights.ledger import Ledger
from stream_app.insights.part import Part
from stream_app.metrics import Metrics
from stream_app.models import change
from stream_app.models.grader import Grader
from stream_app.models.life import Models, Shadowing
from stream_app.models.memory import Held, keep, recall
from stream_app.models.shadow import Shadow, part_of
from stream_app.outputs.announcement import encode_announcements
from stream_app.outputs.engagement import encode_engagement
from stream_app.outputs.prediction import encode_predictions, quality_bit
from stream_app.outputs.topics import TopicNames
from stream_app.records import OutputColumns, OutputRecord, RecordLike
from stream_app.settings import Settings
from stream_app.signals import SIGNALS, check, derive
from stream_app.signals.complaint import complaint_topics
from stream_app.signals.funnel import STEPS, funnel_step
from stream_app.signals.next_best_action import next_best_action
from stream_app.signals.settings import SignalSettings
from stream_app.state import ACCEPTED, DUPLICATE, FUTURE, LATE, PARTIAL, Admission, TaskState, WindowBatch
from stream_app.state.checkpoint import Checkpoint
from stream_app.state.task_state import MOST_FINALS, TASK
from stream_app.state.user_rows import UserRows
from stream_app.worker.inbox import Taken
from stream_app.worker.isolation import Scored, without
from stream_app.worker.overload import Overload
from stream_app.worker.refusals import KEY, Refusals
from stream_app.worker.routing import partition_of, routed
from stream_app.worker.scoring import Scoring

VERDICT_NAMES = {DUPLICATE: "duplicate", LATE: "late", PARTIAL: "partial"}
STRENGTHS = strength_codes(ACTIONS)
SLOTS = {name: at for at, name in enumerate(SIGNALS)}
SEARCHES = [code for code, action in enumerate(ACTIONS) if action == "search"]
FUTURE_ERROR = EventError("future_timestamp", "event_time is more than an hour ahead", stage="time", field="event_time")

SWEEP_MS = 10_000
"""How often an idle task looks for answers that silent users left ungraded."""

POISON_ERROR = EventError("poison", "The model failed on this event", stage="inference")


class Timing(NamedTuple):
    """Wall clock of a segment: when its batch was taken (epoch ms) and how long the model took."""

    started_ms: int
    inference_ms: float


@dataclass
class Publication:
    """What one transaction makes visible, and what to count once it has."""

    outputs: list[OutputRecord] = field(default_factory=list)
    columns: list[OutputColumns] = field(default_factory=list)  # what there is much of
    positions: dict[int, int] = field(default_factory=dict)  # input → next offset
    consumed: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    dead_letters: Counter[tuple[str, str]] = field(default_factory=Counter)
    engagement: Counter[str] = field(default_factory=Counter)
    signals: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    arrivals_ms: list[NDArray[np.int64]] = field(default_factory=list)  # Kafka times of what was predicted
    names_log: bool = False  # its changelog records say of which log they are
    goes_on: bool = False  # more of the kind is due at once

    @property
    def records(self) -> list[OutputRecord]:
        """All that it publishes, one by one."""
        return [*self.outputs, *(record for columns in self.columns for record in columns.records())]

    @property
    def size(self) -> int:
        """Records accounted for."""
        return self.consumed.total()

    def count(self, metrics: Metrics, committed_ms: int) -> None:
        """Into the metrics: it is visible now."""
        metrics.observe_batch(
            consumed=self.consumed,
            verdicts=self.verdicts,
            arrival_ms=np.concatenate(self.arrivals_ms) if self.arrivals_ms else np.empty(0, np.int64),
            committed_ms=committed_ms,
            dead_letters=self.dead_letters,
            engagement=self.engagement,
            signals=self.signals,
            tiers=self.tiers,
        )


class Pipeline:
    """The pure middle of a task: one coroutine at a time; scoring runs on the device thread."""

    def __init__(
        self,
        number: int,
        *,
        state: TaskState,
        models: Models,
        scoring: Scoring,
        names: TopicNames,
        settings: Settings,
        metrics: Metrics,
        overload: Overload | None = None,
    ) -> None:
        self.state = state
        self.seen_ms: dict[str, int] = {}  # Kafka time of the newest record taken, per topic
        self._number = number
        self._models = models
        self._live = models.live
        self._scorer = models.live.scorer
        self._shadow: Shadow | None = None
        self._shadowing: Shadowing | None = None
        self._grader = Grader(models.grades, session_gap_ms=settings.state.session_gap_ms)
        self._speaks = partition_of(change.KEY, settings.topics.partitions) == number  # for the models
        self._scoring = scoring
        self._overload = overload or Overload(0)
        self._tier = self._overload.tier
        self._names = names
        self._inputs = (*names.inputs, names.repartition)
        self._pipeline = settings.pipeline.name
        self._partitions = settings.topics.partitions
        self._grace_ms = settings.state.grace_ms
        self._metrics = metrics
        self._signals = check(SignalSettings(**settings.signals.model_dump()))
        self._segments = list(models.live.scorer.segments)  # the ledger reads it too
        self._ledger = Ledger(
            number,
            settings.insights,
            tumbling_ms=settings.state.tumbling_ms,
            grace_ms=settings.state.grace_ms,
            segments=self._segments,
        )
        self._noted: dict[bytes, bytes] = {}  # what the ledger has in the changelog
        self.refusals = Refusals(names)
        self._advert: OutputRecord | None = None
        self._swept_ms = 0
        self._updates_ms = settings.pipeline.updates_ms
        self._updated_ms = 0  # wall clock of the last records of open windows

    def restore(
        self, pairs: Mapping[bytes, bytes | None], *, now_ms: int, checkpoint: Checkpoint | None = None
    ) -> None:
        """The state from the changelog's last value per key; with a checkpoint, of its tail."""
        own, slices = (checkpoint.own, checkpoint.slices()) if checkpoint else ({}, iter(()))
        apart = (insights.OWN, KEY)
        mine: dict[bytes, bytes | None] = {k: v for k, v in own.items() if k.startswith(apart)}
        mine |= {k: v for k, v in pairs.items() if k.startswith(apart)}
        self.state.restore(
            ((k, v) for k, v in pairs.items() if not k.startswith(apart)),
            now_ms=now_ms,
            own={k: v for k, v in own.items() if not k.startswith(apart)},
            slices=slices,
        )
        self.refusals.restore(mine)
        noted = {k: v for k, v in mine.items() if k.startswith(insights.OWN)}
        self._ledger.restore(noted.items())
        self._noted = {k: v for k, v in noted.items() if v is not None}

    def own(self) -> dict[bytes, bytes]:
        """What the changelog holds beside users."""
        return self.state.own() | self._noted | self.refusals.own()

    def describe(self, user: str) -> dict[str, Any] | None:
        """The user's state with what their windows say now, on any thread; None for a stranger."""
        if (known := self.state.known(user)) is None:
            return None
        found, windows = known
        score, signals = derive(windows, self._signals)
        said = zip(score.tolist(), signals, funnel_step(windows).tolist(), complaint_topics(windows), strict=True)
        for shown, (figure, names, step, topics) in zip(found["windows"], said, strict=True):
            shown |= {"engagement_score": figure, "signals": names, "funnel_step": STEPS[step]}
            shown |= {"complaint_topics": topics, "next_best_action": next_best_action(names)}
        segment = found["prediction"]["segment"]
        found["prediction"]["segment"] = None if segment is None else self._segments[segment]
        return found

    def advertise(self, url: str) -> None:
        """Tell the other workers, with the next transaction, that this task is served there."""
        self._advert = OutputRecord(self._names.workers, b"%d" % self._number, url.encode(), partition=0)

    async def run(self, taken: Taken, *, now_ms: int) -> Publication:
        """Everything that one merged batch leads to."""
        self._use_models()
        self._tier = self._overload.tier  # of the whole batch
        out = Publication(positions=taken.positions)
        for at, one in taken.rejected:
            out.consumed[self._inputs[at]] += 1
            self._set_aside(out, at, one.record, one.error)
        if taken.events is not None:
            await self._events(out, taken.events, taken.records, now_ms)
            self._update_open(out, now_ms)
        self._refuse_items(out)
        for at, position in taken.positions.items():
            self.state.positions[at] = position  # a topic made anew begins again at 0
        out.outputs += self._words()
        self._changelog(out)
        return out

    def tick(self, *, now_ms: int) -> Publication | None:
        """Close the windows of silent users by the idle clock; None when nothing was due."""
        finals = self.state.tick(now_ms)
        self._grade_silent(idle=now_ms - self._swept_ms >= SWEEP_MS)
        if now_ms - self._swept_ms >= SWEEP_MS:
            self._swept_ms = now_ms
        out = Publication(outputs=self._words())
        self._refuse_items(out)
        if not len(finals) and self._advert is None and not out.outputs and not self.state.touched:
            return None
        self._engage(out, finals)
        out.goes_on = len(finals) >= MOST_FINALS
        self._update_open(out, now_ms)
        self._changelog(out)
        return out

    def leave(self) -> Publication | None:
        """What waits to be told before the task goes elsewhere."""
        self._engage(out := Publication(), self.state.open_windows())
        if not (out.outputs or out.columns):
            return None
        self._changelog(out)
        return out

    def seen(self, at: int) -> int:
        """The next offset of input `at` that the state has not seen."""
        return int(self.state.positions[at])

    def resume(self, at: int, offset: int) -> None:
        """Input `at` is read on from here."""
        self.state.positions[at] = offset

    async def again(
        self,
        events: EventBatch,
        records: Objects,
        positions: NDArray[np.int64],
        *,
        watermark_ms: NDArray[np.int64],
        now_ms: int,
    ) -> list[OutputRecord]:
        """Predictions of events that were accepted before, in this order; of the rest nothing is wanted.

        `watermark_ms` (n,): before each event. No window is closed: see `forget`.
        """
        out = Publication()
        await self._segment(out, events, records, positions, watermark_ms, now_ms)
        self.state.open_windows()
        return [record for record in out.records if record.topic == self._names.predictions]

    def forget(self, watermark_ms: int) -> None:
        """Free what no event after that watermark can reach, and say so to nobody."""
        self.state.close(watermark_ms)
        self._ledger.expire(watermark_ms)
        self._changelog(Publication())

    async def _events(self, out: Publication, events: EventBatch, records: Objects, now_ms: int) -> None:
        for at, n in enumerate(np.bincount(events.source_input, minlength=len(self._inputs)).tolist()):
            if n:
                out.consumed[self._inputs[at]] += n
                self.seen_ms[self._inputs[at]] = records[np.flatnonzero(events.source_input == at)[-1]].timestamp
        stray = self._stray(events, records)
        if stray.any():
            self._route(out, events.take(stray), records[stray])
            events, records = events.take(~stray), records[~stray]
        positions = self._positions_of(events)
        with self._metrics.stage("admit", len(events)):
            admission = self.state.admit(events, now_ms=now_ms)
            accepted = self._sort_out(out, events, records, admission)
        for segment in admission.segments:
            self._engage(out, self.state.close(segment.watermark_ms))
            chosen = segment.index if len(segment.index) < len(events) else slice(None)
            before_ms = admission.watermark_ms[chosen]
            await self._segment(out, events.take(chosen), records[chosen], positions[chosen], before_ms, now_ms)
        self._engage(out, self.state.close())
        self._inform(out, self._ledger.expire(self.state.watermark_ms))
        self._remember_items(out, events.take(slice(None) if accepted.all() else accepted))

    async def _segment(
        self,
        out: Publication,
        events: EventBatch,
        records: Objects,
        positions: NDArray[np.int64],
        watermark_ms: NDArray[np.int64],
        now_ms: int,
    ) -> None:
        """Steps 4 to 6 for events between two cuts."""
        n = len(events)
        with self._metrics.stage("update", n):
            rows = self.state.update(events)
            features, digests = self.state.features(events, rows)
            held = features.carried
            features = replace(features, carried=recall(held, self._live.memory))
        started_s = time.perf_counter()
        scored, cpu_s = await self._scoring.score(self._scorer, features, self._tier)
        inference_s = time.perf_counter() - started_s
        self._metrics.observe_stage("score", inference_s, n, cpu_seconds=cpu_s)
        self._poisoned(out, events, records, np.sort(rows.order[~scored.kept]))
        self._observe(features, scored, rows, held)
        predictions = scored.predictions
        if predictions is None:
            return
        if not scored.kept.all():
            rows, good, users = without(rows, scored.kept)
            events, records, positions, watermark_ms = (
                events.take(good),
                records[good],
                positions[good],
                watermark_ms[good],
            )
            digests = [digest for digest, kept in zip(digests, scored.kept.tolist(), strict=True) if kept]
            predictions, held = replace(predictions, carried=predictions.carried[users]), held[users]
        with self._metrics.stage("derive", n):
            started_ms = self.state.session_start_ms(rows)
            columns = predictions.columns
            told = events.take(rows.order)
            said = said_sentiment(told, predictions)
            keep(held, self._live.memory, predictions.carried)
            self.state.carry(
                rows,
                held,
                events=told,
                purchase=columns["purchase"]["score"],
                churn=columns["churn"]["score"],
                anomaly=columns["anomaly"]["score"],
                segment=columns["segment"]["id"],
                sentiment=said,
            )
            back = np.argsort(rows.order)  # from the model's order, by user, to the order applied
            self._ledger.note(events, records, said[back])
            chain = [digests[at].hex() for at in back.tolist()]
            made, timing = predictions.take(back), Timing(now_ms, inference_s * 1000)
            self._predict(out, events, records, made, chain, started_ms[back], positions, watermark_ms, timing)

    def _use_models(self) -> None:
        """Those of now, for a whole batch."""
        models = self._models
        if models.live is not self._live:
            self._live, self._scorer = models.live, models.live.scorer
            self._segments[:] = self._scorer.segments
        if models.shadowing is not self._shadowing:
            self._shadowing, self._shadow = models.shadowing, models.new_shadow()

    def _observe(self, features: FeatureBatch, scored: Scored, rows: UserRows, held: Held) -> None:
        """Hold the answers against what follows; not of users of whom an event could not be scored."""
        kept, predictions, users, places = scored.kept, scored.predictions, rows.users, rows.row_of_user
        if kept.all() and predictions is not None:
            self._grade(features, predictions, places, held)
        else:
            calm = np.bincount(features.row[~kept], minlength=len(held)) == 0
            self._grader.forget(places[~calm])
            if predictions is None or not calm.any():
                return
            events, users, places = calm[features.row], [*compress(users, calm)], places[calm]
            features, predictions = part_of(features, calm, events), predictions.take(np.flatnonzero(events[kept]))
            theirs = held[calm]
            self._grade(features, predictions, places, theirs)
            held[calm] = theirs
        if self._shadow is not None:
            self._shadow.follow(features, predictions, users=users, rows=places)

    def _grade(self, features: FeatureBatch, predictions: PredictionBatch, rows: NDArray[np.int64], held: Held) -> None:
        """What these events say of earlier answers; writes in `held`."""
        if predictions.tier == "behavior_only":  # not what the model can say
            self._grader.forget(rows)
            held["churn_s"] = 0
            return
        with self._metrics.stage("grade", len(features)):
            grade, horizon_s = self._models.grade_of(self._live), self._live.config.churn_horizon_s
            self._grader.observe(grade, horizon_s, features, predictions, rows=rows, held=held)
            self._models.drift.observe(features, predictions)
            self._grade_silent()

    def _grade_silent(self, *, idle: bool = False) -> None:
        """What is due by the clock alone."""
        if (watermark_ms := self.state.watermark_ms) is not None:
            self._grader.sweep(self.state.carried, watermark_ms, idle=idle)
            if idle and self._shadow is not None:
                self._shadow.sweep(watermark_ms)

    def _words(self) -> list[OutputRecord]:
        """What this worker has to say about models."""
        word = self._models.due() if self._speaks else None
        return [] if word is None else [OutputRecord(self._names.control, change.KEY, word, partition=self._number)]

    def _poisoned(self, out: Publication, events: EventBatch, records: Objects, offenders: NDArray[np.int64]) -> None:
        """Set aside what the model could not score; it was counted as predicted when it was admitted."""
        for i in offenders.tolist():
            at = int(events.source_input[i])
            out.verdicts[self._inputs[at], "predicted"] -= 1
            self._set_aside(out, at, records[i], POISON_ERROR)

    def _sort_out(
        self, out: Publication, events: EventBatch, records: Objects, admission: Admission
    ) -> NDArray[np.bool_]:
        """Set aside what was not accepted; returns the mask of what was."""
        verdict = admission.verdict
        accepted: NDArray[np.bool_] = verdict == ACCEPTED
        self._count(out, events.source_input[accepted], "predicted")
        if accepted.all():
            return accepted
        for code, name in VERDICT_NAMES.items():
            self._count(out, events.source_input[verdict == code], name)
        for i in np.flatnonzero(verdict == FUTURE).tolist():
            self._set_aside(out, int(events.source_input[i]), records[i], FUTURE_ERROR)
        for i in np.flatnonzero(verdict == LATE).tolist():
            out.outputs.append(
                late_event(
                    records[i],
                    topic=self._names.late_events,
                    watermark_ms=int(admission.watermark_ms[i]),
                    event_time_ms=int(events.event_time_ms[i]),
                    grace_ms=self._grace_ms,
                )
            )
        return accepted

    def _set_aside(self, out: Publication, at: int, record: RecordLike, error: EventError) -> None:
        topic = self._inputs[at]
        out.outputs.append(dead_letter(record, error, topic=self._names.dead_letters))
        out.verdicts[topic, "dead_lettered"] += 1
        out.dead_letters[error.stage, error.code] += 1

    def _refuse_items(self, out: Publication) -> None:
        letters, errors = self.refusals.take()
        out.outputs += letters
        out.dead_letters.update((error.stage, error.code) for error in errors)

    def _count(self, out: Publication, inputs: NDArray[np.uint8], verdict: str) -> None:
        for at, n in enumerate(np.bincount(inputs, minlength=len(self._inputs)).tolist()):
            if n:
                out.verdicts[self._inputs[at], verdict] += n

    def _stray(self, events: EventBatch, records: Objects) -> NDArray[np.bool_]:
        """Records that lie under a wrong key or in a wrong partition; known users lie right."""
        direct = events.source_input < len(self._names.inputs)
        wrong = np.fromiter((r.key for r in records), object, len(records)) != events.user
        if self._partitions > 1:
            new = self.state.strangers(set(events.user[~wrong & direct].tolist()))
            if lost := {user for user in new if partition_of(user, self._partitions) != self._number}:
                wrong |= np.fromiter((user in lost for user in events.user), bool, len(wrong))
        stray: NDArray[np.bool_] = wrong & direct
        return stray

    def _route(self, out: Publication, events: EventBatch, records: Objects) -> None:
        self._count(out, events.source_input, "routed")
        for record, user in zip(records, events.user, strict=True):
            out.outputs.append(routed(record, user, names=self._names, partitions=self._partitions))

    def _positions_of(self, events: EventBatch) -> NDArray[np.int64]:
        """(n, inputs): for each event the next offset per input that the state has seen, itself included."""
        seen = np.empty((len(events), len(self._inputs)), np.int64)
        for at, start in enumerate(self.state.positions.tolist()):
            own = np.where(events.source_input == at, events.offset + 1, start)
            seen[:, at] = np.maximum.accumulate(own)
        return seen

    def _predict(
        self,
        out: Publication,
        events: EventBatch,
        records: Objects,
        predictions: PredictionBatch,
        digests: Sequence[str],
        session_start_ms: NDArray[np.int64],
        positions: NDArray[np.int64],
        watermark_ms: NDArray[np.int64],
        timing: Timing,
    ) -> None:
        arrival_ms = np.fromiter((record.timestamp for record in records), np.int64, len(records))
        finished_ms = time.time_ns() // 1_000_000
        quality = (events.source_input == len(self._names.inputs)) * quality_bit("wrong_key_routed")
        quality |= (events.event_time_ms < watermark_ms) * quality_bit("time_in_grace")
        values = encode_predictions(
            events,
            predictions,
            heads=self._scorer.heads,
            pipeline=self._pipeline,
            model=self._live.info,
            feature_digest=digests,
            session_start_ms=session_start_ms,
            inputs=self._inputs,
            positions=positions,
            quality=quality,
            processed_at_ms=finished_ms,
            queue_ms=np.maximum(timing.started_ms - arrival_ms, 0).astype(np.float32),
            inference_ms=timing.inference_ms,
            total_ms=np.maximum(finished_ms - arrival_ms, 0).astype(np.float32),
        )
        out.columns.append(OutputColumns(self._names.predictions, events.user.tolist(), values))
        out.arrivals_ms.append(arrival_ms)
        out.tiers[predictions.tier] += len(values)

    def _engage(self, out: Publication, windows: WindowBatch) -> None:
        """Engagement records of these windows, with the signals that fire."""
        if not len(windows):
            return
        score, signals = derive(windows, self._signals)
        values = encode_engagement(windows, score=score, signals=signals, segments=self._segments)
        out.columns.append(OutputColumns(self._names.engagement, windows.users, values))
        out.engagement["final" if windows.is_final else "update"] += len(values)
        self._announce(out, windows, signals)
        self._inform(out, self._ledger.settle(windows))

    def _update_open(self, out: Publication, now_ms: int) -> None:
        """Engagement so far, now and then; final records do not wait."""
        if now_ms - self._updated_ms >= self._updates_ms:
            self._updated_ms = now_ms
            self._engage(out, self.state.open_windows())

    def _inform(self, out: Publication, parts: list[Part]) -> None:
        """Aggregates for people."""
        out.outputs += [
            OutputRecord(self._names.insights, each.record_key(), encode(each), partition=0) for each in parts
        ]

    def _announce(self, out: Publication, windows: WindowBatch, signals: list[list[str]]) -> None:
        """Signals that are news; only these are counted."""
        fired = [(at, name) for at, names in enumerate(signals) for name in names]
        if not fired:
            return
        slots = np.array([SLOTS[name] for _, name in fired])
        due = self.state.due_signals(windows, np.array([at for at, _ in fired]), slots, self._signals.cooldown_ms)
        told = [fired[one] for one in np.flatnonzero(due).tolist()]
        records = encode_announcements(
            windows, told, signals=signals, share=self._signals.holdout, campaign=self._pipeline
        )
        out.outputs += [OutputRecord(self._names.signals, user, value) for user, value in records]
        out.signals.update(name for _, name in told)

    def _remember_items(self, out: Publication, events: EventBatch) -> None:
        """What happened to items, for the index that all workers share."""
        activity = ItemActivity.of(
            events.product,
            events.item,
            session=np.fromiter(map(hash64, map(bytes.decode, events.user)), np.uint64, len(events)),
            event_time_ms=events.event_time_ms,
            strength=STRENGTHS[events.action],
            category=events.category,
        )
        if len(activity):
            out.outputs.append(OutputRecord(self._names.item_log, None, activity.encode(), partition=0))

    def _changelog(self, out: Publication) -> None:
        """What the state has come to, and where this task is served."""
        advert, self._advert = self._advert, None
        out.outputs += filter(None, (advert,))
        state, noted = self.state.changes(), self._ledger.changes()
        out.names_log = bool(state) and state[-1][0] == TASK
        for key, value in noted:
            if value is None:
                self._noted.pop(key, None)
            else:
                self._noted[key] = value
        if changes := [*state, *noted]:
            keys, values = zip(*changes, strict=True)
            out.columns.append(OutputColumns(self._names.state, keys, values))


def said_sentiment(events: EventBatch, predictions: PredictionBatch) -> NDArray[np.float32]:
    """(n,) -1..1 of what was written or said in the event itself, NaN elsewhere; searches are no opinion."""
    spoke = np.array([text is not None for text in events.text], bool) & ~np.isin(events.action, SEARCHES)
    columns = predictions.columns["sentiment"]
    return np.where(spoke & columns["present"], columns["score"], np.nan).astype(np.float32)
