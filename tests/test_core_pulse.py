"""Waiting without polling."""

from __future__ import annotations

import asyncio

from ggml_magic.core.pulse import Pulse


def test_a_condition_is_looked_at_at_each_beat_and_no_more() -> None:
    async def play() -> tuple[bool, int]:
        pulse, looks, value = Pulse(), 0, 0

        def reached() -> bool:
            nonlocal looks
            looks += 1
            return value == 2

        waiting = asyncio.create_task(pulse.until(reached))
        for value in (1, 2):
            await asyncio.sleep(0)
            pulse.beat()
        return await waiting, looks

    assert asyncio.run(play()) == (True, 3)


def test_waiting_ends_with_its_time() -> None:
    async def play() -> tuple[bool, bool]:
        pulse = Pulse()
        return await pulse.until(lambda: False, 0.01), await pulse.until(lambda: True, 0.01)

    assert asyncio.run(play()) == (False, True)
