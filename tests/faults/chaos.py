"""The faults: what is broken, how it is mended, and how long the predictions paused."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import WorkerProcess
from tests.faults.pauses import Follower, now_ms
from tests.kafka.workers import System, until

FROZEN_S = 12.0
BROKER_PAUSED_S = 5.0
RECOVERED_S = 120.0
LEAST, MOST = 2, 3  # workers between faults
LONELY = ", others still starting"
"""Said of a fault that came so soon after another that fewer than LEAST workers had tasks: nobody could take over."""


@dataclass(frozen=True)
class Fault:
    """One that happened. `pause_s` is the longest silence of a partition around it."""

    kind: str
    start_ms: int
    end_ms: int
    pause_s: float


@dataclass
class Chaos:
    """Breaks a running system, one fault after the other; each is over when every partition predicts again."""

    system: System
    broker: EmbeddedBroker
    follower: Follower
    random: random.Random
    happened: list[Fault] = field(default_factory=list)
    running: list[WorkerProcess] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    failed_in_a_row: int = 0
    fenced: int = 0  # zombies that ended, because another worker had their tasks

    async def start(self) -> None:
        """The first workers; returns when every partition predicts."""
        for _ in range(LEAST):
            await self.join()
        await self._flowing(now_ms())

    async def strike(self, kind: str) -> Fault:
        """Break, mend, wait until every partition predicts again."""
        start_ms = now_ms()
        working = sum(has_tasks(worker.log_file.read_text()) for worker in self.running)
        try:
            await KINDS[kind](self)
            await self._flowing(now_ms())
        except AssertionError as error:  # the run goes on: what it did is counted all the same
            self.failed.append(f"{kind}: {error}"[:500])
            self.failed_in_a_row += 1
        else:
            self.failed_in_a_row = 0
        end_ms = now_ms()
        named = kind if working >= LEAST else f"{kind}{LONELY}"
        fault = Fault(named, start_ms, end_ms, self.follower.longest_s(start_ms, end_ms))
        self.happened.append(fault)
        return fault

    async def rest(self) -> None:
        """Some quiet, and as many workers as at first."""
        await asyncio.sleep(self.random.uniform(1, 3))
        try:
            if len(self.running) < LEAST:
                await self.join()
        except AssertionError as error:
            self.failed.append(f"rest: {error}"[:500])

    def pick(self) -> str:
        """A fault that the number of workers allows."""
        allowed = [kind for kind in KINDS if not (kind == "join" and len(self.running) >= MOST)]
        return self.random.choice(allowed)

    async def kill(self) -> None:
        """kill -9 of the process that works; its supervisor starts another."""
        os.kill(await self._child(self._any()), signal.SIGKILL)

    async def lose(self) -> None:
        """kill -9 of a whole worker, supervisor and all; it never comes back."""
        worker = self._any()
        self.running.remove(worker)
        assert worker.process is not None
        for pid in reversed(worker.children()):
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(worker.process.wait)

    async def terminate(self) -> None:
        """SIGTERM of the process that works, past its supervisor, which takes it for done."""
        worker = self._any()
        self.running.remove(worker)
        os.kill(await self._child(worker), signal.SIGTERM)
        process = worker.process
        assert process is not None
        await until(lambda: process.poll() is not None, deadline_s=RECOVERED_S)
        assert process.returncode == 0

    async def freeze(self) -> None:
        """SIGSTOP for longer than the session of one that has tasks: the others take over, and the zombie must write
        nothing more."""
        worker = self._any()
        await until(lambda: has_tasks(worker.log_file.read_text()), deadline_s=RECOVERED_S)
        zombie, before = await self._child(worker), len(worker.log_file.read_text())
        os.kill(zombie, signal.SIGSTOP)
        await asyncio.sleep(FROZEN_S)
        os.kill(zombie, signal.SIGCONT)
        await until(lambda: zombie not in worker.children(), deadline_s=RECOVERED_S)
        assert "has another owner" in worker.log_file.read_text()[before:], "the zombie was not fenced"
        self.fenced += 1

    async def kill_broker(self) -> None:
        """kill -9, and a start on the same data."""
        self.broker.kill()
        await asyncio.to_thread(self.broker.start)

    async def restart_broker(self) -> None:
        """SIGTERM, and a start on the same data."""
        await asyncio.to_thread(self.broker.stop)
        await asyncio.to_thread(self.broker.start)

    async def pause_broker(self) -> None:
        """SIGSTOP for some seconds: connections stay, nobody answers."""
        self.broker.pause()
        await asyncio.sleep(BROKER_PAUSED_S)
        self.broker.resume()

    async def join(self) -> None:
        """One worker more."""
        worker = self.system.start_worker()
        self.running.append(worker)
        await until(lambda: '"assigned"' in worker.log_file.read_text(), deadline_s=RECOVERED_S)

    async def leave(self) -> None:
        """SIGTERM of a supervised worker: it goes for good, with exit code 0."""
        worker = self._any()
        self.running.remove(worker)
        await asyncio.to_thread(worker.stop)
        assert worker.process is not None
        assert worker.process.returncode == 0, worker.log_file.read_text()[-2_000:]

    def _any(self) -> WorkerProcess:
        return self.random.choice(self.running)

    async def _child(self, worker: WorkerProcess) -> int:
        """The working process, once there is one."""
        pid: int = await until(lambda: worker.children()[1:], deadline_s=RECOVERED_S) and worker.children()[1]
        return pid

    async def _flowing(self, since_ms: int) -> None:
        await until(lambda: self.follower.flowing_since(since_ms), deadline_s=RECOVERED_S)


def has_tasks(log: str) -> bool:
    """Whether the process that a worker's log tells of last owns a partition now."""
    last = log.rpartition('"worker ended, starting again"')[2].rpartition('"message":"assigned"')[2]
    return last.startswith(',"partitions":[') and not last.startswith(',"partitions":[]')


KINDS: dict[str, Callable[[Chaos], Awaitable[None]]] = {
    "kill": Chaos.kill,
    "lose": Chaos.lose,
    "terminate": Chaos.terminate,
    "freeze": Chaos.freeze,
    "kill_broker": Chaos.kill_broker,
    "restart_broker": Chaos.restart_broker,
    "pause_broker": Chaos.pause_broker,
    "join": Chaos.join,
    "leave": Chaos.leave,
}
