"""What the readers of ``.tflite`` files share, against files of TensorFlow's own."""

from __future__ import annotations

import sys

import pytest
import trapfiles

from ggml_magic.errors import MissingExtraError
from ggml_magic.model import flatfile

pytestmark = pytest.mark.real


def test_a_file_is_known_by_its_mark() -> None:
    content = trapfiles.wide(dynamic=False).content
    assert flatfile.is_marked(content)
    for other in (b"", content[:7], content[1:], b"TFL3" + content):
        assert not flatfile.is_marked(other)


@pytest.mark.parametrize("name", ["FULLY_CONNECTED", "GELU"])
def test_an_operator_is_named_in_files_of_each_age(name: str) -> None:
    """GELU's number is beyond what the narrow field holds; old files have nothing but that."""
    kinds = flatfile.schema().BuiltinOperator
    number = getattr(kinds, name)
    content = trapfiles.naming_only(number, 1)
    code = flatfile.schema().Model.GetRootAs(content, 0).OperatorCodes(0)
    wide, narrow = code.BuiltinCode(), code.DeprecatedBuiltinCode()
    assert flatfile.names(kinds)[flatfile.builtin(wide, narrow)] == name
    if narrow == number:
        assert flatfile.names(kinds)[flatfile.builtin(0, narrow)] == name


def test_names_are_the_schemas_alone() -> None:
    names = flatfile.names(flatfile.schema().TensorType)
    assert names[0] == "FLOAT32" and not any(name.startswith("_") for name in names.values())


def test_without_tensorflow_there_is_no_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtraError, match="TensorFlow is not installed"):
        flatfile.schema()
