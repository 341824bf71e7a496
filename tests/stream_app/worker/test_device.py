"""One at a time on the device, whoever asks."""

import threading

import pytest

from stream_app.worker.device import Device


def test_what_is_short_is_done_at_once_while_the_thread_rests() -> None:
    with Device() as device:
        done = device.at_once(threading.current_thread)
        assert done is not None
        assert done.result() is threading.current_thread()
        assert device.submit(threading.current_thread).result() is not threading.current_thread()


def test_nothing_is_done_beside_what_the_thread_has_in_hand() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert go_on.wait(60)

    with Device() as device:
        under_way = device.submit(work)
        assert begun.wait(60)
        assert device.at_once(int) is None
        go_on.set()
        under_way.result()


def test_an_error_is_the_callers_and_the_turn_is_given_back() -> None:
    with Device() as device:
        with pytest.raises(ZeroDivisionError):
            device.at_once(lambda: 1 // 0)
        assert device.at_once(int) is not None
        assert device.submit(int).result() == 0
