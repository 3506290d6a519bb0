"""Waiting without polling."""

from __future__ import annotations

import asyncio

from ggml_magic.core.pulse import Pulse

TURNS = 5


def test_a_condition_is_looked_at_at_each_beat_and_no_more() -> None:
    async def play() -> tuple[bool, list[int]]:
        pulse, seen, values = Pulse(), [], [0, 1, 2]

        def reached() -> bool:
            seen.append(values[0])
            return values[0] == 2

        waiting = asyncio.create_task(pulse.until(reached))
        while not waiting.done():
            for _ in range(TURNS):
                await asyncio.sleep(0)
            values.pop(0)
            pulse.beat()
            for _ in range(TURNS):
                await asyncio.sleep(0)
        return await waiting, seen

    assert asyncio.run(play()) == (True, [0, 1, 2])


def test_waiting_ends_with_its_time() -> None:
    async def play() -> tuple[bool, bool]:
        pulse = Pulse()
        return await pulse.until(lambda: False, 0.01), await pulse.until(lambda: True, 0.01)

    assert asyncio.run(play()) == (False, True)
