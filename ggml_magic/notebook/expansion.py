"""``$name`` and ``{expression}`` in a line, as IPython expands them; JSON stays as it is.

IPython would take the braces of a JSON object for an expression, and write a dict as Python does.
So the magic expands its line itself: by IPython's own rule, with JSON objects put aside before.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from IPython.utils.text import DollarFormatter

# a part of a line in a shell's quotes, or one character that a backslash takes its meaning from
QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
# what stands for a text that was put aside; nobody types these (Unicode's private use)
BEFORE, AFTER = "\ue000", "\ue001"
ASIDE = re.compile(f"{BEFORE}([0-9]+){AFTER}")


@dataclass(frozen=True)
class Expanded:
    """A line after expansion; ``aside`` are the JSON texts that its words refer to."""

    line: str
    aside: tuple[str, ...] = ()

    def whole(self, word: str) -> str:
        """A word of the line with its JSON back in place."""
        return ASIDE.sub(self._text, word)

    def _text(self, found: re.Match[str]) -> str:
        number = int(found[1])
        return self.aside[number] if number < len(self.aside) else found[0]


def expand(line: str, values: Mapping[str, Any]) -> Expanded:
    """Expand a line by the notebook's values; one with anything unknown stays as it is.

    Quoted JSON objects stay, and a value that is a dict, or the text of a JSON object, becomes
    that JSON as one word.
    """
    formatter = _Formatter()
    kept = QUOTED.sub(formatter.quoted, line)
    try:
        done = formatter.vformat(kept, args=[], kwargs=dict(values))
    except Exception:  # noqa: BLE001  # an expression may raise anything; IPython too leaves the line then
        done = kept
    return Expanded(done, tuple(formatter.aside))


@dataclass
class _Formatter(DollarFormatter):
    """IPython's own, which puts JSON aside."""

    aside: list[str] = field(default_factory=list)

    def quoted(self, found: re.Match[str]) -> str:
        """A quoted part of a line: a JSON object is put aside."""
        try:
            (text,) = shlex.split(found[0])
        except ValueError:
            return found[0]
        return self._put(text) if _is_object(text) else found[0]

    def format_field(self, value: Any, format_spec: str) -> str:
        """A value in a line: what is a JSON object is put aside."""
        if isinstance(value, Mapping):
            try:
                return self._put(json.dumps(value, ensure_ascii=False))
            except (TypeError, ValueError):  # no JSON: as IPython writes it
                return str(super().format_field(value, format_spec))
        if isinstance(value, str) and _is_object(value):
            return self._put(value)
        return str(super().format_field(value, format_spec))

    def _put(self, text: str) -> str:
        self.aside.append(text)
        return f"{BEFORE}{len(self.aside) - 1}{AFTER}"


def _is_object(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
