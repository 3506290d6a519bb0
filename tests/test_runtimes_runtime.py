from __future__ import annotations

import pytest

from ggml_magic.errors import GrammarError
from ggml_magic.runtimes import runtime


def test_runtimes_are_found_by_name() -> None:
    assert runtime.names() == ("ai-edge-litert", "tensorflow", "tflite-runtime")
    assert runtime.get().name == runtime.DEFAULT and runtime.get().requirements.exists()


def test_an_unknown_runtime_is_told_which_there_are() -> None:
    with pytest.raises(GrammarError, match=r"'tensorrt'.*there are ai-edge-litert"):
        runtime.get("tensorrt")


def test_the_rooms_door_holds_what_it_says() -> None:
    assert all(hasattr(runtime, name) for name in runtime.__all__)
    assert runtime.__all__[2:] == sorted(runtime.__all__[2:], key=lambda n: (not n.isupper(), n))
