"""The declarations: what a line, a function and a command take is the same list."""

from __future__ import annotations

import inspect

import pytest

import ggml_magic
from ggml_magic.grammar import reading
from ggml_magic.grammar.table import VERBS
from ggml_magic.grammar.verb import Argument, Call, Kind, Verb
from ggml_magic.verbs.public import function


def test_every_verb_is_a_function_of_the_package() -> None:
    assert set(VERBS) == set(ggml_magic.VERBS)
    assert all(name in dir(ggml_magic) for name in VERBS)


@pytest.mark.parametrize("name", VERBS)
def test_the_function_takes_what_the_line_takes(name: str) -> None:
    parameters = inspect.signature(function(name)).parameters
    verb = VERBS[name]
    assert list(parameters) == [argument.name for argument in verb.arguments]
    for argument in verb.arguments:
        parameter = parameters[argument.name]
        assert parameter.kind == expected_kind(argument)
        if not argument.many:
            required = parameter.default is inspect.Parameter.empty
            assert required == argument.required
            assert required or parameter.default == argument.default


def expected_kind(argument: Argument) -> object:
    if argument.positional:
        many, one = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_OR_KEYWORD
        return many if argument.many else one
    return inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_the_example_of_each_verb_is_understood(verb: Verb) -> None:
    call = reading.read(reading.split(verb.example), "%ggml", lambda argument, text: text)
    assert isinstance(call, Call)
    assert call.verb is verb


def test_no_verb_takes_a_seam_from_a_line() -> None:
    assert Kind.SEAM not in {argument.kind for verb in VERBS.values() for argument in verb.line}
