"""Streams: the order of what is sent on them, and their end."""

from __future__ import annotations

from ggml_magic.core.calls import IpcError, Stream


class Line:
    """A channel that keeps what is sent on it."""

    def __init__(self) -> None:
        self.events: list[tuple[int, str, bytes]] = []
        self.early = 0
        self.most = 0

    def event(self, number: int, shape: str, content: bytes) -> None:
        self.events.append((number, shape, content))

    def keep_early(self, size: int) -> None:
        self.early += size
        self.most = max(self.most, self.early)


def test_events_before_the_response_wait_for_it_and_are_counted() -> None:
    line = Line()
    stream = Stream(7, line)
    stream.send("E", {"n": 1})
    stream.send("E", {"n": 2})
    assert line.events == []
    assert line.early == 2 * len(b'{"n":1}')
    stream.opened()
    stream.send("E", {"n": 3})
    assert line.events == [(7, "E", b'{"n":%d}' % n) for n in (1, 2, 3)]
    assert (line.early, line.most) == (0, 14)


def test_an_end_is_told_once_and_so_is_what_came_after_it() -> None:
    told: list[str] = []
    stream = Stream(1, Line())
    stream.closed.append(lambda: told.append("first"))
    stream.closed.append(lambda: stream.end())
    stream.closed.append(lambda: told.append("last"))
    stream.end()
    stream.end()
    assert told == ["first", "last"]
    stream.closed.append(lambda: told.append("late"))
    stream.end()
    assert told == ["first", "last", "late"]


def test_an_error_says_its_message_to_both_generations_of_clients() -> None:
    error = IpcError("ConflictError", "no", context={"a": 1})
    assert error.members == {"message": "no", "_message": "no", "context": {"a": 1}}
