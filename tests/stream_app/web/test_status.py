"""When a worker is ready, and the reasons when it is not."""

from stream_app.metrics import Metrics, read
from stream_app.web import Status


def test_a_worker_is_not_ready_before_its_first_assignment() -> None:
    status = Status(Metrics())
    assert status.reasons == ["waiting for the first assignment"]


def test_a_worker_is_ready_once_every_assigned_task_is_restored() -> None:
    status = Status(Metrics())
    status.assign([0, 2])
    assert status.reasons == ["restoring tasks 0, 2"]
    status.restored(0)
    assert not status.ready
    status.restored(2)
    assert status.ready


def test_a_worker_with_nothing_to_do_is_ready() -> None:
    status = Status(Metrics())
    status.assign([])
    assert status.ready


def test_a_rebalance_waits_only_for_the_tasks_that_are_new() -> None:
    status = Status(Metrics())
    status.assign([0, 1])
    status.restored(0)
    status.assign([0, 3])
    assert status.reasons == ["restoring tasks 3"]
    status.assign([0])
    assert status.ready
    status.assign([0, 3])
    assert status.reasons == ["restoring tasks 3"]


def test_pauses_and_failures_are_told_and_show_in_the_metric() -> None:
    metrics = Metrics()
    status = Status(metrics)
    status.assign([])
    assert read(metrics.ready) == {(): 1}
    status.pause("broker", "no answer since 5 s")
    assert status.reasons == ["broker: no answer since 5 s"]
    assert read(metrics.ready) == {(): 0}
    status.resume("broker")
    assert status.ready
    status.fail("state and log differ")
    assert status.reasons == ["state and log differ"]
