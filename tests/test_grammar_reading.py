"""Lines and arguments read: as values, or as one sentence on what is wrong."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.errors import GrammarError
from ggml_magic.grammar import reading
from ggml_magic.grammar.help import Help
from ggml_magic.grammar.table import VERBS
from ggml_magic.grammar.verb import Argument, Call


def look(argument: Argument, text: str) -> object:
    return f"<{text}>"


def read(line: str, cell: str | None = None) -> Any:
    return reading.read(reading.split(line), "%ggml", look, cell)


def test_values_have_their_kinds() -> None:
    call = read("deploy rain --to=thing/pi --watch --timeout 2.5")
    assert call.values == {"name": "rain", "to": "thing/pi", "watch": True, "timeout": 2.5}
    call = read('model rain a b --features x:m --inputs X --decide ">= 0.5"')
    assert call.values["stages"] == ("<a>", "<b>")
    assert call.values["decide"] == ">= 0.5"
    assert call.values["inputs"] == "<X>"
    assert read("run p.yaml --set a=1 --set b=x=y").values["set"] == {"a": "1", "b": "x=y"}
    assert read("validate rain --inputs X --tolerance -1").values["tolerance"] == -1.0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("deplyo rain", "no verb 'deplyo'; did you mean deploy?"),
        ("xyzzy", "no verb 'xyzzy'"),
        ("deploy rain --too thing/pi", "deploy has no option --too; did you mean --to?"),
        ("deploy rain", "deploy needs --to TARGET"),
        ("deploy", "deploy needs NAME"),
        ("deploy rain --to", "--to needs a value: --to TARGET"),
        ("deploy rain --to --watch", "--to needs a value: --to TARGET"),
        ("deploy rain --to a --to b", "--to is there twice"),
        ("deploy rain --to a --watch=no", "--watch takes no value"),
        ("deploy rain watch --to a", "deploy has no place for 'watch'; did you mean --watch?"),
        ("package rain --interval soon", "--interval is 'soon', not a number"),
        ("convert rain --quantize int", "--quantize of convert cannot be 'int'"),
        ("run p.yaml --set target", "--set takes KEY=VALUE, not 'target'"),
        ("plan 'rain --to a", "the line has a stray quote"),
    ],
)
def test_a_mistake_gives_one_sentence_and_the_help(line: str, said: str) -> None:
    with pytest.raises(GrammarError) as caught:
        read(line)
    assert caught.value.what == said
    assert caught.value.remedy.endswith("--help")


def test_a_wrong_choice_says_what_there_is() -> None:
    with pytest.raises(GrammarError, match="int16x8, int8-split, auto; did you mean auto"):
        read("convert rain --quantize aut")


def test_a_cell_is_the_code_of_inference_alone() -> None:
    assert read("inference rain", "x = 1\n").values["code"] == "x = 1\n"
    with pytest.raises(GrammarError, match="deploy takes no cell"):
        read("deploy rain --to a", "x = 1\n")
    with pytest.raises(GrammarError, match="both give the code"):
        read("inference rain --code f.py", "x = 1\n")


def test_help_wins_over_mistakes_of_the_same_line() -> None:
    assert isinstance(read("deploy --too --help"), Help)


@pytest.mark.parametrize(
    ("name", "places", "named", "said"),
    [
        ("deploy", ("rain",), {}, "deploy needs to"),
        ("deploy", ("rain",), {"too": "x"}, "deploy has no argument 'too'; did you mean to?"),
        ("deploy", ("rain",), {"to": "x", "watch": 1}, "watch of deploy is 1, not True or False"),
        ("deploy", ("rain", "thing/pi"), {}, "deploy was given 1 too many arguments by place"),
        ("deploy", ("rain",), {"name": "x", "to": "y"}, "deploy was given 'name' twice"),
        ("package", ("rain",), {"interval": "1"}, "interval of package is '1', not a number"),
        ("convert", ("rain",), {"quantize": "int4"}, "--quantize of convert cannot be 'int4'"),
        ("model", ("rain",), {"features": "a", "inputs": 1}, "model needs stages"),
    ],
)
def test_functions_refuse_what_lines_refuse(
    name: str, places: tuple[object, ...], named: dict[str, object], said: str
) -> None:
    with pytest.raises(GrammarError) as caught:
        reading.bind(VERBS[name], places, named)
    assert caught.value.what == said


def test_an_array_is_never_compared_with_nothing() -> None:
    class Array:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("an array has no truth value")

        __hash__ = None  # type: ignore[assignment]  # as arrays are

    values = reading.bind(VERBS["validate"], ("rain",), {"inputs": Array()})
    assert isinstance(values["inputs"], Array)


words = st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=12)


@settings(deadline=None, max_examples=200)
@given(st.lists(words, max_size=6))
def test_any_line_is_understood_or_refused(line: list[str]) -> None:
    for verb in ("deploy", "run", "config", "model"):
        try:
            found = reading.read([verb, *line], "%ggml", look)
        except GrammarError as error:
            assert error.remedy
        else:
            assert isinstance(found, (Call, Help))


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {"to": words.filter(lambda word: not word.startswith("--"))},
        optional={"timeout": st.floats(0, 1e6), "watch": st.just(True)},
    )
)
def test_what_is_written_is_read_back(values: dict[str, Any]) -> None:
    verb = VERBS["deploy"]
    line = ["deploy", "rain"]
    for name, value in values.items():
        option = verb.argument(name).option
        line += [option] if value is True else [option, str(value)]
    assert read(shlex.join(line)).values == {"name": "rain", **values}


@pytest.mark.parametrize(
    ("line", "quoted"),
    [
        ("model rain net --decide >= 0.5 --features a --inputs X", '--decide ">= 0.5"'),
        ("model rain net --decide value within 0.5", '--decide "value within"'),
        ("model rain net --decide argmax dry,wet", '--decide "argmax dry,wet"'),
        ("model rain --features a:hPa, b:m net", '--features "a:hPa, b:m"'),
    ],
)
def test_a_value_that_lacks_its_quotes_is_told_so(line: str, quoted: str) -> None:
    with pytest.raises(GrammarError, match="more than one word") as caught:
        read(line)
    assert quoted in caught.value.why


def test_a_stage_after_an_option_is_a_stage() -> None:
    call = read("model rain --decide '>= 0.5' net --features a --inputs X")
    assert isinstance(call, Call) and len(call.values["stages"]) == 1
