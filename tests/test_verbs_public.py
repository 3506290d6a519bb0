"""The public functions by name."""

from __future__ import annotations

import inspect

import pytest

from ggml_magic.errors import GrammarError
from ggml_magic.grammar.table import VERBS
from ggml_magic.verbs import stages
from ggml_magic.verbs.public import function


def test_each_verb_is_found_where_it_is_written() -> None:
    assert function("convert") is stages.convert
    assert len({function(name) for name in VERBS}) == len(VERBS)


@pytest.mark.parametrize("name", VERBS)
def test_each_has_a_docstring_of_its_own(name: str) -> None:
    assert (inspect.getdoc(function(name)) or "").split("\n")[0].endswith((".", ":"))


def test_another_name_is_no_verb() -> None:
    with pytest.raises(GrammarError, match="did you mean convert"):
        function("covnert")
