"""What people may order of models: set, put in the shadow, take back. Checks an artefact before anything is sent."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from stream_app.errors import EventError, StreamAppError
from stream_app.models import change as changes
from stream_app.models.artefact import RefusedError, Served, configured, digest_of, file_of, folder_of, serve
from stream_app.models.change import Artefact, ModelChange, Shadow
from stream_app.outputs.topics import TopicNames
from stream_app.records import OutputRecord
from stream_app.settings import Settings
from stream_app.transport import admin
from stream_app.transport.loader import Loader
from stream_app.transport.log_reader import read_all
from stream_app.worker.routing import partition_of


class Order(NamedTuple):
    """A record of the control topic, and its offset (-1: there is none, the settings name the model)."""

    change: ModelChange
    position: int

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        facts: dict[str, Any] = msgspec.to_builtins(self.change)
        return {"position": self.position, **facts}


async def present(settings: Settings) -> Order:
    """What holds now."""
    settings = await admin.settled(settings)
    topic = TopicNames(settings.topics.prefix).control
    found = Order(ModelChange(digest=digest_of(configured(settings))), -1)
    for record in await read_all(settings.broker, [(topic, _partition(settings))]):
        if record.key != changes.KEY or not record.value:
            continue
        try:
            change = changes.decode(record.value)
        except EventError:
            continue  # the workers refuse it too
        if found.position < 0 or change.instead_of in (None, found.position):
            found = Order(change, record.offset)
    return found


async def set_model(settings: Settings, path: str | None, *, reason: str = "") -> Order:
    """Let the artefact at `path` below the model folder serve; None: the one that the settings name."""
    now = (await present(settings)).change
    named = Artefact(digest=digest_of(file_of(settings, path)), path=path)
    serve(settings, named, running=_running(settings, now))
    before = Artefact(digest=now.digest, path=now.path)
    shadow = None if now.shadow and now.shadow.digest == named.digest else now.shadow
    change = ModelChange(digest=named.digest, path=path, shadow=shadow, before=before, reason=reason)
    return await send(settings, change)


async def set_shadow(settings: Settings, path: str | None, share: float) -> Order:
    """Put the artefact at `path` in the shadow for a share of the users; a share of 0 ends the shadow."""
    now = (await present(settings)).change
    if share <= 0:
        return await send(settings, msgspec.structs.replace(now, shadow=None, instead_of=None))
    named = Shadow(digest=digest_of(file_of(settings, path)), path=path, share=share)
    serve(settings, Artefact(digest=named.digest, path=path), running=_running(settings, now))
    return await send(settings, msgspec.structs.replace(now, shadow=named, instead_of=None))


async def take_back(settings: Settings, *, reason: str = "") -> Order:
    """Let the model before the present one serve again."""
    now, _ = await present(settings)
    if now.before is None:
        raise StreamAppError("there is no model before the present one: nothing to return to")
    back = now.before
    serve(settings, back)
    return await send(settings, ModelChange(digest=back.digest, path=back.path, shadow=now.shadow, reason=reason))


async def send(settings: Settings, change: ModelChange) -> Order:
    """Write it, as the topic's last word."""
    settings = await admin.settled(settings)
    topic = TopicNames(settings.topics.prefix).control
    loader = Loader(settings.broker)
    await loader.start()
    try:
        record = OutputRecord(topic, changes.KEY, changes.encode(change), partition=_partition(settings))
        await loader.send([record])
    finally:
        await loader.stop()
    return await present(settings)


def artefacts(settings: Settings) -> list[dict[str, str]]:
    """The files that can be named, with their digests."""
    folder = folder_of(settings)
    found = []
    for path in sorted(folder.rglob("*.safetensors")) if folder.is_dir() else []:
        try:
            found.append({"path": str(path.relative_to(folder)), "digest": digest_of(path)})
        except RefusedError as error:
            found.append({"path": str(path.relative_to(folder)), "refused": str(error)})
    return found


def _running(settings: Settings, now: ModelChange) -> Served:
    """The present model; where its file is gone, the one that the settings name stands for it."""
    try:
        return serve(settings, Artefact(digest=now.digest, path=now.path))
    except RefusedError:
        return serve(settings, Artefact(digest=digest_of(configured(settings))))


def _partition(settings: Settings) -> int:
    return partition_of(changes.KEY, settings.topics.partitions)
