"""Help, all of it made from the declarations."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

from ggml_magic.grammar.table import VERBS
from ggml_magic.grammar.verb import Argument, Verb

HELP = ("--help", "-h")
MAGIC = "%ggml"
COMMAND = "ggml"
# how the examples call data; in a terminal these are files
DATA_NAME = re.compile(r"\b([Xy]_\w+)")


@dataclass(frozen=True)
class Help:
    """Help that a line asked for, as it is to be read."""

    text: str

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text)}</pre>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.text)


def overview(prefix: str) -> str:
    """All verbs, a line each."""
    width = max(map(len, VERBS))
    lines = [f"{prefix} VERB …: from a trained model to a proven one on an edge device", ""]
    for verb in VERBS.values():
        lines.append(f"  {verb.name:<{width}}  {verb.summary}")
    return "\n".join([*lines, "", f"{prefix} VERB --help explains one."])


def usage(verb: Verb, prefix: str) -> str:
    """One verb: how to write it, and each argument."""
    example = verb.example
    if prefix == COMMAND:
        example = DATA_NAME.sub(r"\1.npy", verb.terminal or verb.example)
    cell = bool(verb.cell) and prefix == MAGIC
    head = " ".join([prefix, verb.name, *(a.usage for a in verb.line)])
    lines = [head, *([f"%{prefix} {verb.name} NAME, with the code below"] if cell else [])]
    lines += [f"  {verb.summary}", ""]
    words = [a.shown or a.name.upper() if a.positional else a.option for a in verb.line]
    width = max(map(len, words), default=0)
    for word, argument in zip(words, verb.line, strict=True):
        lines.append(f"  {word:<{width}}  {argument.summary}{_limits(argument)}")
    return "\n".join([*lines, "", f"  for example: {prefix} {example}"])


def _limits(argument: Argument) -> str:
    notes = []
    if argument.choices:
        notes.append(f"one of {', '.join(argument.choices)}")
    if argument.default not in (None, False):
        shown = argument.default
        notes.append(f"default {shown:g}" if isinstance(shown, float) else f"default {shown}")
    return f" ({'; '.join(notes)})" if notes else ""
