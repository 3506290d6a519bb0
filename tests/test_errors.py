"""The exception tree: drawn as it is, and clean in a notebook."""

from __future__ import annotations

import inspect
import re

import pytest

from ggml_magic import errors

CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, errors.GgmlError)
}


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"^    ([│├└─ ]*)(\w+Error)", errors.__doc__ or "", re.M)
    parents: dict[int, str] = {}
    seen = {}
    for indent, name in drawn:
        depth = len(indent) // 4
        parents[depth] = name
        seen[name] = parents.get(depth - 1)
    assert seen == {
        name: None if kind is errors.GgmlError else kind.__mro__[1].__name__
        for name, kind in CLASSES.items()
    }


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_two_lines_and_fields(kind: type[errors.GgmlError]) -> None:
    error = kind("could not deploy rain", "the target is gone", "%ggml sandbox core pi")
    lines = error._render_traceback_()
    assert lines == [
        f"{kind.__name__}: could not deploy rain: the target is gone",
        "Next: %ggml sandbox core pi",
    ]
    assert (error.what, error.why, error.remedy) == (
        "could not deploy rain",
        "the target is gone",
        "%ggml sandbox core pi",
    )


def test_what_alone_is_a_sentence() -> None:
    assert str(errors.GgmlError("the disk is full")) == "the disk is full"
