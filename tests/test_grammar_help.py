"""Help comes from the declarations, all of it."""

from __future__ import annotations

import pytest

from ggml_magic.grammar.help import Help, overview, usage
from ggml_magic.grammar.table import VERBS


@pytest.mark.parametrize("prefix", ["%ggml", "ggml"])
def test_help_shows_every_verb_and_every_argument(prefix: str) -> None:
    whole = overview(prefix)
    for verb in VERBS.values():
        assert f"  {verb.name} " in whole
        assert verb.summary in whole
        one = usage(verb, prefix)
        for argument in verb.line:
            assert argument.summary in one
            assert argument.positional or f"{argument.option} " in one
            for choice in argument.choices:
                assert choice in one


def test_a_terminals_example_has_no_live_objects() -> None:
    assert "ggml model rain rain.keras --features" in usage(VERBS["model"], "ggml")
    assert "%ggml model rain scaler network --features" in usage(VERBS["model"], "%ggml")


def test_a_terminals_examples_name_files() -> None:
    assert "ggml replay rain --inputs X_test.npy" in usage(VERBS["replay"], "ggml")
    assert "%ggml replay rain --inputs X_test --to" in usage(VERBS["replay"], "%ggml")


def test_defaults_and_cells_are_told() -> None:
    assert "(default 300)" in usage(VERBS["deploy"], "ggml")
    assert "%%ggml inference NAME" in usage(VERBS["inference"], "%ggml")
    assert "%%ggml" not in usage(VERBS["inference"], "ggml")


def test_help_is_text_and_html() -> None:
    shown = Help("a < b")
    assert str(shown) == "a < b"
    assert shown._repr_html_() == "<pre>a &lt; b</pre>"
