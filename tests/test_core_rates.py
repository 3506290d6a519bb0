from __future__ import annotations

import asyncio

from ggml_magic.core import rates
from ggml_magic.core.rates import Bucket, Pace, RequestRates


class Clock:
    """A time that the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def admitted(requests: RequestRates, thing: str, tries: int) -> int:
    return sum(requests.admit(thing) for _ in range(tries))


def test_each_thing_has_its_rate_and_all_together_have_theirs() -> None:
    clock = Clock()
    requests = RequestRates(lambda: (30, 20), clock)
    assert admitted(requests, "a", 100) == 20
    assert admitted(requests, "b", 100) == 10
    clock.now += 0.5
    assert admitted(requests, "a", 100) == 10
    assert admitted(requests, "b", 100) == 5
    clock.now += 60
    assert admitted(requests, "a", 100) == 20


def test_what_is_refused_costs_nothing() -> None:
    clock = Clock()
    requests = RequestRates(lambda: (200, 1), clock)
    assert admitted(requests, "a", 500) == 1
    assert admitted(requests, "b", 1) == 1


def test_a_rate_that_changes_counts_at_once() -> None:
    clock, limits = Clock(), [(200, 2)]
    requests = RequestRates(lambda: limits[0], clock)
    assert admitted(requests, "a", 10) == 2
    limits[0] = (200, 5)
    assert admitted(requests, "a", 10) == 3


def test_things_that_are_quiet_are_forgotten() -> None:
    clock = Clock()
    requests = RequestRates(lambda: (1e6, 20), clock)
    for number in range(rates.MOST_COUNTED):
        requests.admit(f"t{number}")
    clock.now += 2
    requests.admit("new")
    assert len(requests._things) == 1


def test_work_waits_for_its_turn() -> None:
    async def play() -> float:
        pace, loop = Pace(lambda: 100), asyncio.get_running_loop()
        began = loop.time()
        for _ in range(110):
            await pace.turn()
        return loop.time() - began

    assert asyncio.run(play()) >= 0.09


def test_a_bucket_fills_slowly() -> None:
    clock = Clock()
    bucket = Bucket(clock)
    bucket.take()
    assert bucket.waiting(1) == 1 - rates.TOLERANCE
    clock.now += 0.25
    assert bucket.waiting(1) == 0.75 - rates.TOLERANCE
