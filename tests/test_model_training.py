from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from ggml_magic.errors import MissingExtraError
from ggml_magic.model import training


def test_without_tensorflow_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    for ask in (training.require, training.tensorflow):
        with pytest.raises(MissingExtraError) as caught:
            ask()
        assert "pip install 'ggml-magic[train]'" in caught.value.remedy
        assert "conda" in caught.value.remedy


def test_requiring_imports_nothing() -> None:
    code = (
        "import sys; from ggml_magic.model import training, model; training.require(); "
        "from ggml_magic.convert import convert; from ggml_magic.validate import validate; "
        "print({'tensorflow', 'keras', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_quiet_holds_only_for_its_block(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tensorflow")
    before = logger.level
    with training.quiet():
        logger.info("Assets written to: somewhere")
    assert logger.level == before and not caplog.records
