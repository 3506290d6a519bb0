from __future__ import annotations

from pathlib import Path

import pytest

from ggml_magic.device import defaults, handlers


def test_without_code_the_defaults_run(tmp_path: Path) -> None:
    loaded = handlers.load(tmp_path)
    assert loaded == handlers.Handlers() and loaded.read is defaults.read and loaded.own == ()


def test_what_the_user_leaves_out_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text("def read(context):\n    return {'a': 1}\n")
    loaded = handlers.load(tmp_path)
    assert loaded.read(None) == {"a": 1} and loaded.own == ("read",)
    assert loaded.write is defaults.write


@pytest.mark.parametrize("body", ["1 / 0", "raise SystemExit", "import no_such_module"])
def test_code_that_cannot_be_loaded_is_one_line_with_its_place(tmp_path: Path, body: str) -> None:
    (tmp_path / "inference.py").write_text(f"\n\n{body}\n")
    with pytest.raises(handlers.HandlerError, match=r"^inference\.py line 3: \w+") as caught:
        handlers.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_fault_names_the_line_of_the_users_file(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text("def read(context):\n    return {}['a']\n")
    with pytest.raises(KeyError) as caught:
        handlers.load(tmp_path).read(None)
    assert handlers.line(caught.value) == "inference.py line 2: KeyError: 'a'"
