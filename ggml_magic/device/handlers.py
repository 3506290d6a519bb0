"""The three functions of a cycle: the user's where there are some, else the defaults."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from . import defaults

FILE = "inference.py"


class HandlerError(Exception):
    """The user's code failed; the text is one line that names the place."""


@dataclass(frozen=True)
class Handlers:
    """``read(context)``, ``predict(rows, model)`` and ``write(result, context)``."""

    read: Callable[[Any], Any] = defaults.read
    predict: Callable[[Any, Any], Any] = defaults.predict
    write: Callable[[Any, Any], Any] = defaults.write

    @property
    def own(self) -> tuple[str, ...]:
        """The names of those that are the user's."""
        names = ("read", "predict", "write")
        return tuple(name for name in names if getattr(self, name) is not getattr(defaults, name))


def load(folder: Path) -> Handlers:
    """The functions of the folder's ``inference.py``; the defaults for those it leaves out.

    Raises ``HandlerError`` when the file cannot be run.
    """
    path = folder / FILE
    if not path.exists():
        return Handlers()
    module = _module(path)
    names = ("read", "predict", "write")
    return Handlers(**{name: getattr(module, name) for name in names if hasattr(module, name)})


def line(error: BaseException) -> str:
    """A failure of the user's code as one line, with the line number when it is in their file."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    frames = traceback.extract_tb(error.__traceback__)
    places = [frame for frame in frames if Path(frame.filename).name == FILE]
    return f"{FILE} line {places[-1].lineno}: {text}" if places else text


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise HandlerError(f"{FILE} cannot be read")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    # whatever the user's code raises, SystemExit too, is told in one line
    except (Exception, SystemExit) as error:
        raise HandlerError(line(error)) from error
    return module
