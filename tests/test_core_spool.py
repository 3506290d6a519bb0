"""The spool: bounded, in order, and QoS 1 never gives way."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggml_magic.core.quotas import Message
from ggml_magic.core.spool import MOST_BYTES, Spool, SpoolError

MESSAGES = st.lists(
    st.builds(Message, st.just("t"), st.binary(max_size=9), st.sampled_from([0, 1])), max_size=30
)


def contents(spool: Spool) -> list[Message]:
    async def empty() -> list[Message]:
        found = []
        while len(spool):
            found.append(await spool.oldest())
            spool.sent(found[-1])
        return found

    return asyncio.run(empty())


@given(MESSAGES)
def test_it_is_bounded_and_keeps_the_order_and_each_of_qos_1(messages: list[Message]) -> None:
    spool, taken = Spool(40), []
    for message in messages:
        try:
            spool.add(message)
            taken.append(message)
        except SpoolError:
            needed = [m for m in taken if m.qos] + [message]
            assert sum(1 + len(m.payload) for m in needed) > 40
        assert spool.held_bytes <= 40
    kept = contents(spool)
    assert spool.held_bytes == 0
    assert [m for m in kept if m.qos] == [m for m in taken if m.qos]
    # of QoS 0 the newest are kept
    light = [m for m in taken if not m.qos]
    kept_light = [m for m in kept if not m.qos]
    assert kept_light == light[len(light) - len(kept_light) :]


def test_what_is_larger_than_all_of_it_is_refused() -> None:
    with pytest.raises(SpoolError, match="larger"):
        Spool().add(Message("", b"x" * (MOST_BYTES + 1)))


def test_what_gave_way_while_it_was_sent_is_forgotten_once() -> None:
    async def test() -> None:
        spool = Spool(10)
        first = Message("a", b"12345678", 0)
        spool.add(first)
        assert await spool.oldest() is first
        spool.add(Message("b", b"12345678", 1))
        spool.sent(first)
        assert (len(spool), spool.held_bytes) == (1, 9)
        assert not spool.emptied.is_set()

    asyncio.run(test())


def test_offline_keeps_what_is_of_qos_1_only() -> None:
    spool = Spool()
    for number in range(4):
        spool.add(Message("a", b"%d" % number, number % 2))
    spool.offline()
    assert (len(spool), spool.held_bytes) == (2, 4)
