"""What words of a line name: objects, attributes, files."""

from __future__ import annotations

import types
from pathlib import Path

import pytest

from ggml_magic.errors import GrammarError, UnknownNameError
from ggml_magic.grammar.table import VERBS
from ggml_magic.notebook.names import Names

PARTS = types.SimpleNamespace(train=1, test=2)
NAMES = Names({"X_train": 1, "X_test": 2, "parts": PARTS, "np": types, "_private": 3, "In": []})
INPUTS = VERBS["validate"].argument("inputs")
STAGES = VERBS["model"].argument("stages")
CODE = VERBS["inference"].argument("code")


def test_names_and_attributes() -> None:
    assert NAMES.find("X_test") == 2
    assert NAMES.find("parts.test") == 2
    assert NAMES.look(INPUTS, "parts.train") == 1
    assert NAMES.look(STAGES, "X_train") == 1


@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        ("X_tset", "there is no 'X_tset' in this notebook", "there is X_test"),
        ("zzz", "there is no 'zzz' in this notebook", "nothing is called nearly so"),
        ("parts.tset", "parts has no 'tset'", "there is test"),
        ("parts['test']", "\"parts['test']\" is not a Python name", "a line takes names"),
        ("X test", "'X test' is not a Python name", "a line takes names"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(text: str, what: str, why: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        NAMES.find(text)
    assert caught.value.what == what
    assert caught.value.why.startswith(why)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("(X_test.area>110).astype(int)", "(X_test.area>110).astype(int)"),
        ("abs(X_test)", "abs(X_test)"),
        ("X_test[area]", "…"),  # written X_test["area"]; the line's quotes are gone
        ("(X_test.area", "…"),  # cut at a space
    ],
)
def test_an_expression_is_told_how_to_become_a_name(text: str, expression: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        NAMES.find(text)
    assert caught.value.remedy == f"put it in a variable first: data = {expression}"


def test_known_names_are_the_persons_own() -> None:
    assert NAMES.known() == ("X_train", "X_test", "parts")


def test_data_may_be_a_file_of_rows(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("a\n1\n")
    assert NAMES.look(INPUTS, str(rows)) == rows
    with pytest.raises(UnknownNameError, match="there is no file"):
        NAMES.look(INPUTS, str(tmp_path / "gone.npy"))


def test_a_stage_may_be_where_a_saved_model_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert NAMES.look(STAGES, "s3://bucket/model.tar.gz") == "s3://bucket/model.tar.gz"
    assert NAMES.look(STAGES, "net.keras") == "net.keras"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "X_train").mkdir()
    assert NAMES.look(STAGES, "X_train") == 1, "a name of the notebook wins over a folder"
    assert NAMES.look(STAGES, "X_train#serve") == "X_train#serve"
    assert NAMES.look(STAGES, "parts.keras") == "parts.keras", "it has no attribute of that name"
    assert NAMES.look(STAGES, "parts.train") == 1
    with pytest.raises(UnknownNameError, match="there is no 'netwrok'"):
        NAMES.look(STAGES, "netwrok")


def test_code_is_a_files(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text("x = 1\n")
    assert NAMES.look(CODE, str(tmp_path / "handler.py")) == "x = 1\n"
    with pytest.raises(GrammarError, match="cannot be read"):
        NAMES.look(CODE, str(tmp_path / "gone.py"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("plan rain --to thing/$thing", "the line has $thing, and there is no 'thing'"),
        ("plan rain --to thing/{thing}", "the line has {thing}, and there is no 'thing'"),
        ("plan $X_test --to {thing}", "the line has {thing}, and there is no 'thing'"),
        ("plan rain --to {1 / 0}", "the line has {1 / 0}"),
    ],
)
def test_a_line_that_was_left_unexpanded_is_refused(line: str, said: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        NAMES.check_expanded(line)
    assert caught.value.what.startswith(said)


def test_an_expanded_line_passes() -> None:
    NAMES.check_expanded("validate rain --inputs X_test --max-flips 0.5% --decide '>= 0.5'")
