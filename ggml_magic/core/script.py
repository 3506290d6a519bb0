"""What simulated devices answer to a deployment, for teaching roll-outs.

A script names how many devices do what: ``failure=5,delay=3:20,offline=2`` (a delay in seconds);
the others succeed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from ggml_magic.errors import GrammarError

# How long a delayed device takes when the script does not say, seconds.
DELAY_SECONDS = 10.0
EXAMPLE = "%ggml sandbox fleet 50 --simulate failure=5,delay=3:20,offline=2"


class Answer(Enum):
    """How a device answers."""

    SUCCESS = "success"
    FAILURE = "failure"
    DELAY = "delay"
    OFFLINE = "offline"


@dataclass(frozen=True)
class Part:
    """One device's part: its answer, and how many seconds it takes to give it."""

    answer: Answer
    seconds: float = 0.0

    def __str__(self) -> str:
        return self.answer.value + (f":{self.seconds:g}" if self.seconds else "")


def parts(text: str, devices: int) -> tuple[Part, ...]:
    """Each device's part; those of one kind stand apart from each other, always alike.

    Raises ``GrammarError`` for words that are no script, or more parts than devices.
    """
    counted = [_counted(word) for word in text.split(",") if word.strip()]
    given = sum(count for _, count in counted)
    if given > devices:
        why = f"it has parts for {given}"
        raise GrammarError(f"the script needs more than {devices} devices", why, EXAMPLE)
    counted.append((Part(Answer.SUCCESS), devices - given))
    placed = sorted(
        ((place + 0.5) / count, number, part)
        for number, (part, count) in enumerate(counted)
        for place in range(count)
    )
    return tuple(part for _, _, part in placed)


def _counted(word: str) -> tuple[Part, int]:
    name, _, amount = word.strip().partition("=")
    try:
        answer = Answer(name.strip().lower())
        count, seconds = _amount(amount, answer)
    except ValueError:
        known = ", ".join(each.value for each in Answer)
        why = f"a script is made of NAME=COUNT, with a NAME of {known}"
        raise GrammarError(f"{word.strip()!r} is no part of a script", why, EXAMPLE) from None
    return Part(answer, seconds), count


def _amount(text: str, answer: Answer) -> tuple[int, float]:
    """How many, and for a delay how long; raises ``ValueError``."""
    numbers: Iterator[str] = iter(text.split(":", 1))
    count, given = int(next(numbers)), next(numbers, None)
    if count < 0 or (given is not None and answer is not Answer.DELAY):
        raise ValueError(text)
    if answer is not Answer.DELAY:
        return count, 0.0
    seconds = DELAY_SECONDS if given is None else float(given)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(text)
    return count, seconds
