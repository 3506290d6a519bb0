"""The device's inference code: what a ``%%ggml inference`` cell may hold, and where it is kept.

The default is the very file that the device falls back to, so that what a user reads is what
runs.
"""

from __future__ import annotations

import ast
import difflib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from ggml_magic.device import defaults
from ggml_magic.errors import InferenceCodeError
from ggml_magic.workspace import Workspace, write_bytes

FILE = "inference.py"
# of a line that is quoted: enough to find it in the cell, whose own first line is the magic's
LONGEST_QUOTE = 60
LINE_END = re.compile(r"\r\n|\r|\n")
# the functions that the harness calls, with what it gives them
FUNCTIONS = {
    "read": ("context",),
    "predict": ("rows", "model"),
    "write": ("result", "context"),
}
# what litert.txt brings beside the standard library
INSTALLED = ("numpy", "ai_edge_litert", "awsiot", "awscrt", "flatbuffers", "ml_dtypes")


def default_code() -> str:
    """The code that runs where there is no code of one's own."""
    return Path(defaults.__file__).read_text()


def store(workspace: Workspace, name: str, code: str) -> Path:
    """Check device code and keep it for a model; the file that holds it.

    Raises ``InferenceCodeError``, with the line, for code that could not run on the device.
    """
    check(name, code)
    path = workspace.root / "models" / name / FILE
    write_bytes(path, code.encode())
    return path


def load(workspace: Workspace, name: str) -> str | None:
    """The code that was stored for a model, or ``None`` where the default runs."""
    path = workspace.root / "models" / name / FILE
    return path.read_text() if path.exists() else None


def check(name: str, code: str) -> None:
    """Raise ``InferenceCodeError`` unless the harness could load and call this code."""
    checked = _Code(name, code)
    tree = _parsed(checked)
    functions = [
        node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    for function in functions:
        _check_function(checked, function)
    if not {function.name for function in functions} & set(FUNCTIONS):
        known = ", ".join(map(signature, FUNCTIONS))
        raise _refusal(f"the inference code of {name}", f"it defines none of {known}")
    for node in ast.walk(tree):
        _check_import(checked, node)


def functions(code: str) -> tuple[str, ...]:
    """The functions that stored code brings, in the order in which the harness calls them."""
    defined = {node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
    return tuple(name for name in FUNCTIONS if name in defined)


def signature(function: str) -> str:
    """``read(context)`` and the like."""
    return f"{function}({', '.join(FUNCTIONS[function])})"


def _parsed(code: _Code) -> ast.Module:
    try:
        tree = ast.parse(code.text, FILE)
        compile(tree, FILE, "exec")
    except SyntaxError as error:
        raise code.refusal(error.lineno or 1, error.msg) from None
    except ValueError as error:  # a null byte
        raise code.refusal(1, str(error)) from None
    return tree


def _check_function(code: _Code, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    if function.name not in FUNCTIONS:
        # one's own helper, unless it looks like a slip of the pen
        if meant := difflib.get_close_matches(function.name, FUNCTIONS, n=1):
            why = f"{function.name}() is never called; did you mean {signature(meant[0])}?"
            raise code.refusal(function.lineno, why)
        return
    if isinstance(function, ast.AsyncFunctionDef):
        raise code.refusal(function.lineno, f"{function.name} must be a plain function")
    if not _takes(function.args, len(FUNCTIONS[function.name])):
        raise code.refusal(function.lineno, f"it must be {signature(function.name)}")


def _takes(arguments: ast.arguments, given: int) -> bool:
    """Whether a function can be called with this many positional arguments."""
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    keywords = any(default is None for default in arguments.kw_defaults)
    enough = arguments.vararg is not None or given <= positional
    return required <= given and enough and not keywords


def _check_import(code: _Code, node: ast.AST) -> None:
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        modules = ["." * node.level + (node.module or "")]
    else:
        return
    for module in modules:
        top = module.split(".")[0]
        if top not in sys.stdlib_module_names and top not in INSTALLED:
            why = f"{module} is not on the device: there are the standard library and numpy"
            raise code.refusal(node.lineno, why)


@dataclass(frozen=True)
class _Code:
    """Code that is being checked, and the model that it is for."""

    name: str
    text: str

    def refusal(self, line: int, why: str) -> InferenceCodeError:
        """The error about a line, which is quoted: a cell numbers its lines with the magic's."""
        quoted = self._quoted(line)
        place = f"line {line} ({quoted})" if quoted else f"line {line}"
        return _refusal(f"the inference code of {self.name}, {place}", why)

    def _quoted(self, line: int) -> str:
        lines = LINE_END.split(self.text)
        text = lines[line - 1].strip() if line <= len(lines) else ""
        text = "".join(letter for letter in text if letter.isprintable())
        if len(text) > LONGEST_QUOTE:
            text = f"{text[: LONGEST_QUOTE - 1]}…"
        return f'"{text}"' if text else ""


def _refusal(what: str, why: str) -> InferenceCodeError:
    return InferenceCodeError(what, why, "mend the cell and run it again")
