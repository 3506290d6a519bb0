"""Completion of a ``%ggml`` line: verbs, options, values, models, Python names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ggml_magic import workspace as ws
from ggml_magic.grammar.help import HELP
from ggml_magic.grammar.table import VERBS
from ggml_magic.grammar.verb import Argument, Kind, Verb
from ggml_magic.notebook.names import Names
from ggml_magic.settings import CLOUDS
from ggml_magic.settings import NAMES as SETTINGS

TARGETS = ("thing/", "thinggroup/")


def complete(names: Mapping[str, Any], text: str) -> list[str]:
    """What may stand at the end of a line; ``text`` begins with the magic itself."""
    words = text.split()
    begun = "" if text[-1:].isspace() else words[-1]
    before = words[1:] if not begun else words[1:-1]
    return sorted(word for word in _candidates(names, before) if word.startswith(begun))


def _candidates(names: Mapping[str, Any], before: list[str]) -> list[str]:
    if not before:
        return [*VERBS, *HELP[:1]]
    verb = VERBS.get(before[0])
    if verb is None:
        return []
    waiting = {a.option: a for a in verb.options if a.kind is not Kind.SWITCH}
    if before[-1] in waiting:
        return _values(waiting[before[-1]], names)
    given = set(before)
    options = [a.option for a in verb.options if a.option not in given]
    place = _place(verb, _count(verb, before[1:]))
    return [*options, *HELP[:1], *(_values(place, names) if place else [])]


def _count(verb: Verb, words: list[str]) -> int:
    """How many of the words are told by their place."""
    taking = {a.option for a in verb.options if a.kind is not Kind.SWITCH}
    count = 0
    for previous, word in zip(["", *words], words, strict=False):
        count += not word.startswith("--") and previous not in taking
    return count


def _place(verb: Verb, number: int) -> Argument | None:
    places = verb.positional
    if not places:
        return None
    if number < len(places):
        return places[number]
    return places[-1] if places[-1].many else None


def _values(argument: Argument, names: Mapping[str, Any]) -> list[str]:
    if argument.choices:
        return list(argument.choices)
    if argument.kind in (Kind.STAGE, Kind.DATA):
        return list(Names(names).known())
    if argument.name == "name":
        return _models()
    if argument.name == "to":
        return list(TARGETS)
    if argument.name == "fix":
        from ggml_magic.doctor.mend import MENDS

        return list(MENDS)
    if argument.name in ("runtime", "runtimes"):
        from ggml_magic.runtimes.runtime import names as runtimes  # numpy: not at start-up

        return list(runtimes())
    if argument.name == "changes":
        return [f"{name}=" for name in SETTINGS] + [f"cloud={cloud}" for cloud in CLOUDS]
    return []


def _models() -> list[str]:
    folder = ws.find().root / "models"
    return [path.parent.name for path in folder.glob("*/model.json")]
