"""What a verb is: its arguments, and a call of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    """What an argument is, and so how text becomes its value."""

    TEXT = "text"
    NUMBER = "number"
    SWITCH = "switch"  # there or not
    STAGE = "stage"  # a live Python object of the notebook, or where a saved model is
    DATA = "data"  # a Python object of the notebook, or a file
    PAIRS = "pairs"  # KEY=VALUE, again and again
    CODE = "code"  # a file of code, or the body of a cell
    SEAM = "seam"  # a callable: only for who calls the function


@dataclass(frozen=True)
class Argument:
    """One argument: ``name`` is the function's parameter, ``--name`` the option.

    A positional one that may come ``many`` times is the function's ``*name``. ``words`` are those
    that only a value in quotes can hold, where somebody forgot the quotes.
    """

    name: str
    summary: str
    kind: Kind = Kind.TEXT
    shown: str = ""
    positional: bool = False
    required: bool = False
    many: bool = False
    default: object = None
    words: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """How a line writes it: ``--max-flips``."""
        return "--" + self.name.replace("_", "-")

    @property
    def usage(self) -> str:
        """Its part of the usage line, in brackets where it can be left out."""
        word = self.shown or self.name.upper()
        text = word if self.positional else f"{self.option} {word}"
        if self.kind is Kind.SWITCH:
            text = self.option
        if self.many or self.kind is Kind.PAIRS:
            text += "…"
        return text if self.required else f"[{text}]"


@dataclass(frozen=True)
class Verb:
    """One verb; ``cell`` names the argument that a ``%%ggml`` cell's body gives.

    ``terminal`` is the example where there are no live Python objects, if that is another.
    """

    name: str
    summary: str
    arguments: tuple[Argument, ...] = ()
    example: str = ""
    cell: str = ""
    terminal: str = ""

    @property
    def line(self) -> tuple[Argument, ...]:
        """The arguments that a line can hold."""
        return tuple(a for a in self.arguments if a.kind is not Kind.SEAM)

    @property
    def positional(self) -> tuple[Argument, ...]:
        """The arguments that are told by their place."""
        return tuple(a for a in self.line if a.positional)

    @property
    def options(self) -> tuple[Argument, ...]:
        """The arguments that are told by name."""
        return tuple(a for a in self.line if not a.positional)

    def argument(self, name: str) -> Argument:
        """An argument by the function's name for it."""
        return next(a for a in self.arguments if a.name == name)


@dataclass(frozen=True)
class Call:
    """A verb with the values of a line, ready for its function."""

    verb: Verb
    values: Mapping[str, Any]

    def on(self, function: Callable[..., Any], **seams: Any) -> Any:
        """Call the verb's function with these values."""
        places: list[Any] = []
        for argument in self.verb.positional:
            value = self.values.get(argument.name, argument.default)
            places += value or () if argument.many else [value]
        named = {a.name: self.values[a.name] for a in self.verb.options if a.name in self.values}
        return function(*places, **named, **seams)


# finds what a word names: a Python object, a file
Look = Callable[[Argument, str], object]
