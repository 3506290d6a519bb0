from __future__ import annotations

import threading

from ggml_magic.sandbox.lifetime import Clock


def test_a_persons_request_ends_idleness_and_a_devices_does_not() -> None:
    clock = Clock()
    threading.Event().wait(0.02)
    with clock.answering(device=True):
        assert clock.idle_seconds() >= 0.02
    assert clock.idle_seconds() >= 0.02
    with clock.answering(device=False):
        assert clock.idle_seconds() == 0
    assert clock.idle_seconds() < 0.02


def test_settling_waits_for_what_is_being_answered() -> None:
    clock = Clock()
    assert clock.settle(0)
    with clock.answering(device=True):
        assert not clock.settle(0.01)
