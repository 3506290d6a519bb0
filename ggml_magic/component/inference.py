"""The device's inference code: what a ``%%ggml inference`` cell may hold, and where it is kept.

The default is the very file that the device falls back to, so that what a user reads is what
runs.
"""

from __future__ import annotations

import ast
import difflib
import sys
from pathlib import Path

from ggml_magic.device import defaults
from ggml_magic.errors import InferenceCodeError
from ggml_magic.workspace import Workspace, write_bytes

FILE = "inference.py"
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
    tree = _parsed(name, code)
    functions = [
        node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    for function in functions:
        _check_function(name, function)
    if not {function.name for function in functions} & set(FUNCTIONS):
        raise _refusal(name, 1, f"it defines none of {', '.join(map(signature, FUNCTIONS))}")
    for node in ast.walk(tree):
        _check_import(name, node)


def functions(code: str) -> tuple[str, ...]:
    """The functions that stored code brings, in the order in which the harness calls them."""
    defined = {node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
    return tuple(name for name in FUNCTIONS if name in defined)


def signature(function: str) -> str:
    """``read(context)`` and the like."""
    return f"{function}({', '.join(FUNCTIONS[function])})"


def _parsed(name: str, code: str) -> ast.Module:
    try:
        tree = ast.parse(code, FILE)
        compile(tree, FILE, "exec")
    except SyntaxError as error:
        raise _refusal(name, error.lineno or 1, error.msg) from None
    except ValueError as error:  # a null byte
        raise _refusal(name, 1, str(error)) from None
    return tree


def _check_function(name: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    if function.name not in FUNCTIONS:
        # one's own helper, unless it looks like a slip of the pen
        if meant := difflib.get_close_matches(function.name, FUNCTIONS, n=1):
            why = f"{function.name}() is never called; did you mean {signature(meant[0])}?"
            raise _refusal(name, function.lineno, why)
        return
    if isinstance(function, ast.AsyncFunctionDef):
        raise _refusal(name, function.lineno, f"{function.name} must be a plain function")
    if not _takes(function.args, len(FUNCTIONS[function.name])):
        raise _refusal(name, function.lineno, f"it must be {signature(function.name)}")


def _takes(arguments: ast.arguments, given: int) -> bool:
    """Whether a function can be called with this many positional arguments."""
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    keywords = any(default is None for default in arguments.kw_defaults)
    enough = arguments.vararg is not None or given <= positional
    return required <= given and enough and not keywords


def _check_import(name: str, node: ast.AST) -> None:
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
            raise _refusal(name, node.lineno, why)


def _refusal(name: str, line: int, why: str) -> InferenceCodeError:
    return InferenceCodeError(
        f"the inference code of {name}, line {line}", why, "mend the cell and run it again"
    )
