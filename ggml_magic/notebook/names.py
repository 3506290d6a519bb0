"""What the words of a line name: Python objects of the notebook, or files."""

from __future__ import annotations

import ast
import builtins
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ggml_magic.errors import GrammarError, UnknownNameError
from ggml_magic.grammar.place import is_place
from ggml_magic.grammar.verb import Argument, Kind

FILES = (".npy", ".csv")
# what IPython expands in a line, and leaves as it is when one of them has no value
EXPANSION = re.compile(r"\$([A-Za-z_]\w*)|\{([^{}]+)\}")
NEAR = 3


@dataclass(frozen=True)
class Names:
    """The notebook's names."""

    values: Mapping[str, Any]

    def look(self, argument: Argument, text: str) -> object:
        """The object or file that a word names; raises ``UnknownNameError``."""
        if argument.kind is Kind.CODE:
            return _code(argument, text)
        if argument.kind is Kind.DATA and text.endswith(FILES):
            return _file(text)
        if argument.kind is Kind.STAGE and not self._is_named(text) and is_place(text):
            return text
        return self.find(text)

    def _is_named(self, text: str) -> bool:
        """Whether a word has a value here; ``net.keras`` beside a variable ``net`` has none."""
        try:
            self.find(text)
        except UnknownNameError:
            return False
        return True

    def find(self, text: str) -> object:
        """An object by name, or by name and attributes (``parts.test``)."""
        first, *attributes = text.split(".")
        if not all(part.isidentifier() for part in (first, *attributes)):
            raise UnknownNameError(
                f"{text!r} is not a Python name",
                "a line takes names, with attributes at most",
                f"put it in a variable first: data = {self._expression(text)}",
            )
        if first not in self.values:
            raise UnknownNameError(
                f"there is no {first!r} in this notebook",
                _near(first, self.known()),
                f"run the cell that makes {first}",
            )
        value = self.values[first]
        reached = first
        for attribute in attributes:
            if not hasattr(value, attribute):
                raise UnknownNameError(
                    f"{reached} has no {attribute!r}",
                    _near(attribute, (n for n in dir(value) if not n.startswith("_"))),
                    f"dir({reached})",
                )
            value = getattr(value, attribute)
            reached = f"{reached}.{attribute}"
        return value

    def _expression(self, text: str) -> str:
        """The text where it has a value here; else ``…``.

        The line was split as a shell does: a space or a quote of the expression may be gone.
        """
        try:
            tree = ast.parse(text, mode="eval")
        except (SyntaxError, ValueError):
            return "…"
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        return text if all(n in self.values or hasattr(builtins, n) for n in names) else "…"

    def known(self) -> tuple[str, ...]:
        """The names that a person gave: no modules, nothing of IPython's own."""
        own = {"In", "Out", "exit", "quit", "get_ipython", "open"}
        return tuple(
            name
            for name, value in self.values.items()
            if not name.startswith("_") and name not in own and not isinstance(value, ModuleType)
        )

    def check_expanded(self, line: str) -> None:
        """Refuse a line in which ``$name`` or ``{expression}`` found no value.

        IPython leaves such a line as it is, and ``thing/$thing`` would go to the cloud.
        """
        left = list(EXPANSION.finditer(line))
        if not left:
            return
        missing = [found for found in left if (found[1] or found[2]) not in self.values]
        found = (missing or left)[0]
        name = found[1] or found[2]
        if name.lstrip().startswith(('"', "'")):
            raise UnknownNameError(
                f"the line has {{{name}}}, which is neither a Python expression nor a JSON object",
                "JSON stands in single quotes, its names and texts in double ones",
                "put it in a variable first, conf = {…}, and write {conf}",
            )
        why = _near(name, self.known()) if name.isidentifier() else "it has no value here"
        raise UnknownNameError(
            f"the line has {found[0]}, and there is no {name!r} in this notebook",
            why,
            f"run the cell that makes {name}" if name.isidentifier() else "mend the expression",
        )


def _near(name: str, known: Iterable[str]) -> str:
    there = list(known)
    found = difflib.get_close_matches(name, there, n=NEAR)
    if found:
        return f"there is {', '.join(found)}"
    return "nothing is called nearly so"


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise UnknownNameError(f"there is no file {text}", remedy=f"%ls {path.parent}")
    return path


def _code(argument: Argument, text: str) -> str:
    try:
        return Path(text).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise GrammarError(f"{argument.option} {text} cannot be read", str(error)) from None
