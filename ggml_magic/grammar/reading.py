"""A line, or a function's arguments, as a verb with values; or one sentence on what is wrong."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ggml_magic.errors import GrammarError
from ggml_magic.grammar.help import HELP, MAGIC, Help, overview, usage
from ggml_magic.grammar.table import VERBS
from ggml_magic.grammar.verb import Argument, Call, Kind, Look, Verb

# a value that cannot end here
OPEN = (">=", "argmax")


def split(line: str) -> list[str]:
    """A line as words, with a shell's quotes; raises ``GrammarError`` for a stray one."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise GrammarError(
            "the line has a stray quote", str(error).lower(), f"{MAGIC} --help"
        ) from None


def read(words: Sequence[str], prefix: str, look: Look, cell: str | None = None) -> Call | Help:
    """A line's words as a call of a verb, or as the help that they ask for.

    ``look`` finds what a word names (a Python object, a file); ``cell`` is the body of a
    ``%%ggml`` cell. Raises ``GrammarError``, and whatever ``look`` raises.
    """
    if not words or words[0] in HELP:
        return Help(overview(prefix))
    verb = find(words[0])
    if any(word in HELP for word in words[1:]):
        return Help(usage(verb, prefix))
    values = _values(verb, words[1:], look)
    if cell is not None:
        _add_cell(verb, values, cell)
    missing = [a for a in verb.line if a.required and a.name not in values]
    if missing:
        raise _refusal(verb, f"{verb.name} needs {missing[0].usage}")
    return Call(verb, values)


def find(name: str) -> Verb:
    """A verb by name; raises ``GrammarError`` with the nearest one."""
    if name not in VERBS:
        near = nearest(name, VERBS)
        raise GrammarError(f"no verb {name!r}{near}", remedy=f"{MAGIC} --help")
    return VERBS[name]


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean deploy?``, or nothing when nothing is near."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def bind(verb: Verb, places: Sequence[object], named: Mapping[str, object]) -> dict[str, object]:
    """A function's arguments by name, checked; raises ``GrammarError``.

    What a line would refuse is refused here too.
    """
    values = _by_place(verb, places)
    known = [a.name for a in verb.arguments if not (a.positional and a.many)]
    for name, value in named.items():
        if name not in known:
            raise _refusal(verb, f"{verb.name} has no argument {name!r}{nearest(name, known)}")
        if name in values:
            raise _refusal(verb, f"{verb.name} was given {name!r} twice")
        values[name] = value
    for argument in verb.arguments:
        if argument.required and _nothing(values.get(argument.name)):
            raise _refusal(verb, f"{verb.name} needs {argument.name}")
        if argument.name in values:
            _check(verb, argument, values[argument.name])
    return values


def _nothing(value: object) -> bool:
    # an array has no truth value, and must not be compared
    return value is None or (isinstance(value, tuple) and not value)


def _by_place(verb: Verb, places: Sequence[object]) -> dict[str, object]:
    values: dict[str, object] = {}
    rest = list(places)
    for argument in verb.positional:
        if argument.many:
            values[argument.name], rest = tuple(rest), []
        elif rest:
            values[argument.name] = rest.pop(0)
    if rest:
        raise _refusal(verb, f"{verb.name} was given {len(rest)} too many arguments by place")
    return values


def _check(verb: Verb, argument: Argument, value: object) -> None:
    if value is None and not argument.required:
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if argument.kind is Kind.NUMBER and not number:
        raise _refusal(verb, f"{argument.name} of {verb.name} is {value!r}, not a number")
    if argument.kind is Kind.SWITCH and not isinstance(value, bool):
        raise _refusal(verb, f"{argument.name} of {verb.name} is {value!r}, not True or False")
    if argument.choices and value not in argument.choices:
        raise _choice(verb, argument, str(value))


def _values(verb: Verb, words: Sequence[str], look: Look) -> dict[str, Any]:
    values: dict[str, Any] = {}
    places = list(verb.positional)
    rest = list(words)
    before: tuple[Argument, Any] | None = None
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            argument, value = before = _option(verb, word, rest, look)
        else:
            _check_quoted(verb, before, word)
            argument, value = _place(verb, word, places, look)
            before = None
        _keep(verb, values, argument, value)
    return values


def _check_quoted(verb: Verb, before: tuple[Argument, Any] | None, word: str) -> None:
    """Refuse a word after an option's value that looks like the rest of that value."""
    if before is None:
        return
    argument, value = before
    goes_on = word in argument.words or value in OPEN or str(value).endswith(",")
    if argument.kind is not Kind.TEXT or not goes_on:
        return
    raise _refusal(
        verb,
        f"{argument.option} was given more than one word",
        f'a value with blanks stands in quotes: {argument.option} "{value} {word}"',
    )


def _keep(verb: Verb, values: dict[str, Any], argument: Argument, value: Any) -> None:
    if argument.kind is Kind.PAIRS:
        values.setdefault(argument.name, {}).update(value)
    elif argument.many:
        values[argument.name] = (*values.get(argument.name, ()), value)
    elif argument.name in values:
        raise _refusal(verb, f"{argument.option} is there twice")
    else:
        values[argument.name] = value


def _option(verb: Verb, word: str, rest: list[str], look: Look) -> tuple[Argument, Any]:
    name, equals, value = word.partition("=")
    known = {a.option: a for a in verb.options}
    if name not in known:
        raise _refusal(verb, f"{verb.name} has no option {name}{nearest(name, known)}")
    argument = known[name]
    if argument.kind is Kind.SWITCH:
        if equals:
            raise _refusal(verb, f"{name} takes no value")
        return argument, True
    if not equals:
        if not rest or rest[0].partition("=")[0] in known:
            raise _refusal(verb, f"{name} needs a value: {argument.usage.strip('[]')}")
        value = rest.pop(0)
    return argument, value_of(verb, argument, value, look)


def _place(verb: Verb, word: str, places: list[Argument], look: Look) -> tuple[Argument, Any]:
    if not places:
        options = [a.option for a in verb.options]
        raise _refusal(
            verb, f"{verb.name} has no place for {word!r}{nearest('--' + word, options)}"
        )
    argument = places[0] if places[0].many else places.pop(0)
    return argument, value_of(verb, argument, word, look)


def value_of(verb: Verb, argument: Argument, text: str, look: Look) -> Any:
    """What a word means as the value of an argument."""
    if argument.kind in (Kind.STAGE, Kind.DATA, Kind.CODE):
        return look(argument, text)
    if argument.choices and text not in argument.choices:
        raise _choice(verb, argument, text)
    if argument.kind is Kind.PAIRS:
        key, equals, value = text.partition("=")
        if not (equals and key):
            raise _refusal(verb, f"{argument.option} takes KEY=VALUE, not {text!r}")
        return {key: value}
    if argument.kind is Kind.NUMBER:
        try:
            return float(text)
        except ValueError:
            raise _refusal(verb, f"{argument.option} is {text!r}, not a number") from None
    return text


def _add_cell(verb: Verb, values: dict[str, Any], cell: str) -> None:
    if not verb.cell:
        raise _refusal(verb, f"{verb.name} takes no cell; write it as a line: {MAGIC} {verb.name}")
    argument = verb.argument(verb.cell)
    if argument.name in values:
        raise _refusal(verb, f"{argument.option} and the cell both give the {argument.name}")
    values[argument.name] = cell


def _choice(verb: Verb, argument: Argument, text: str) -> GrammarError:
    word = argument.name if argument.positional else argument.option
    known = ", ".join(argument.choices)
    return _refusal(
        verb,
        f"{word} of {verb.name} cannot be {text!r}",
        f"it is one of {known}{nearest(text, argument.choices)}",
    )


def _refusal(verb: Verb, what: str, why: str = "") -> GrammarError:
    return GrammarError(what, why, f"{MAGIC} {verb.name} --help")
