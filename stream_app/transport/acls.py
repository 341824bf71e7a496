"""The least that a worker must be allowed to do: what `stream-app topics acls` prints and a test holds it to."""

from __future__ import annotations

from typing import Literal, NamedTuple

from stream_app.outputs.topics import TopicNames
from stream_app.settings import Settings

Kind = Literal["topic", "group", "transactional-id"]
READ, WRITE, CREATE = "READ", "WRITE", "CREATE"


class Acl(NamedTuple):
    """Allow an operation on a resource; `prefixed`: on all whose names begin so."""

    operation: str
    kind: Kind
    name: str
    prefixed: bool = False

    def command(self, principal: str) -> str:
        """Arguments of kafka-acls.sh."""
        pattern = " --resource-pattern-type prefixed" if self.prefixed else ""
        who = f"--allow-principal '{principal}'"
        return f"--add {who} --operation {self.operation.capitalize()} --{self.kind} {self.name}{pattern}"


def worker_acls(settings: Settings) -> list[Acl]:
    """For a worker. READ and WRITE hold DESCRIBE; CREATE only where the worker makes its topics."""
    names = TopicNames(settings.topics.prefix)
    both = (names.control, names.repartition, names.state, names.item_log, names.insights, names.workers)
    outputs = (names.predictions, names.engagement, names.signals, names.late_events, names.dead_letters)
    group = settings.pipeline.name
    created = [Acl(CREATE, "topic", settings.topics.prefix, prefixed=True)] if settings.topics.create else []
    return [
        *(Acl(READ, "topic", name) for name in (*names.inputs, names.items, *both)),
        *(Acl(WRITE, "topic", name) for name in (*outputs, *both)),
        Acl(READ, "group", group),
        Acl(WRITE, "transactional-id", f"{group}-task-", prefixed=True),
        *created,
    ]
