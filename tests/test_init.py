"""The package itself: its names, and that loading it costs next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import ggml_magic
from ggml_magic.verbs import public, rollout

HEAVY = (
    *("numpy", "tensorflow", "keras", "boto3", "botocore", "moto", "sagemaker"),
    *("ipywidgets", "anywidget", "nbformat", "papermill", "pandas", "yaml", "psutil"),
)
LOAD = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.extension_manager.load_extension("ggml_magic")
assert "ggml" in shell.magics_manager.magics["line"]
assert "ggml" in shell.magics_manager.magics["cell"]
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_load_ext_imports_the_magic_and_nothing_else() -> None:
    ran = subprocess.run([sys.executable, "-c", LOAD], check=True, capture_output=True, text=True)
    loaded = set(json.loads(ran.stdout))
    assert {name for name in loaded if name.startswith("ggml_magic")} == {
        "ggml_magic",
        "ggml_magic.notebook",
        "ggml_magic.notebook.magics",
    }
    assert not {name.split(".")[0] for name in loaded} & set(HEAVY)


def test_import_and_a_line_of_help_import_nothing_heavy() -> None:
    code = (
        "import sys, ggml_magic; from ggml_magic import command\n"
        "command.main(['deploy', '--help'])\n"
        f"heavy = {{name.split('.')[0] for name in sys.modules}} & set({HEAVY!r})\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_a_verb_is_found_and_another_name_is_not() -> None:
    assert ggml_magic.status is rollout.status
    assert public.function("deploy") is rollout.deploy
    with pytest.raises(AttributeError, match="no attribute 'deplyo'"):
        ggml_magic.deplyo  # noqa: B018  # looking is the test


def test_a_room_of_a_verbs_name_is_still_the_verb() -> None:
    code = (
        "import ggml_magic, ggml_magic.deploy.target, ggml_magic.sandbox\n"
        "from ggml_magic.errors import GrammarError\n"
        "try:\n    ggml_magic.deploy('rain')\n"
        "except GrammarError as error:\n    print(error.what)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "deploy needs to"
