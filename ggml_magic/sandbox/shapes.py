"""Requests and responses as the service model describes them.

boto3 sends values that break the model's ``pattern``, ``min``, ``max`` and ``enum`` without a
word (GREENGRASS 5); AWS refuses them, so the sandbox does.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ggml_magic.sandbox.faults import Problem

# Java's "any control character", which Python's re has not.
JAVA_CONTROL = (r"\p{C}", r"\x00-\x1f\x7f-\x9f")


class Reader:
    """Reads one request; ``problems`` collects all that the model refuses in it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def refuse(self, name: str, message: str) -> None:
        """Note one refused member."""
        self.problems.append(Problem(name, message))

    def read(self, shape: Any, raw: Any, name: str) -> Any:
        """A value of the shape, from decoded JSON; ``None`` when it was refused."""
        readers: dict[str, Callable[[Any, Any, str], Any]] = {
            "structure": self._structure,
            "list": self._list,
            "map": self._map,
            "string": self._string,
            "boolean": self._boolean,
            "blob": self._blob,
            "timestamp": self._timestamp,
        }
        reader: Callable[[Any, Any, str], Any] = readers.get(shape.type_name, self._number)
        value = reader(shape, raw, name)
        if value is not None:
            self._limits(shape, value, name)
        return value

    def _structure(self, shape: Any, raw: Any, name: str) -> dict[str, Any] | None:
        if not isinstance(raw, dict):
            self.refuse(name, "must be an object")
            return None
        values = {}
        for member, member_shape in shape.members.items():
            key = member_shape.serialization.get("name", member)
            path = f"{name}.{member}" if name else member
            if raw.get(key) is not None:
                values[member] = self.read(member_shape, raw[key], path)
            elif member in shape.required_members:
                self.refuse(path, "is required")
        return values

    def _list(self, shape: Any, raw: Any, name: str) -> list[Any] | None:
        if not isinstance(raw, list):
            self.refuse(name, "must be a list")
            return None
        return [self.read(shape.member, item, f"{name}[{i}]") for i, item in enumerate(raw)]

    def _map(self, shape: Any, raw: Any, name: str) -> dict[str, Any] | None:
        if not isinstance(raw, dict):
            self.refuse(name, "must be an object")
            return None
        for key in raw:
            self.read(shape.key, key, f"{name} key {key!r}")
        return {
            key: self.read(shape.value, value, f"{name}.{key}")
            for key, value in raw.items()
            if value is not None
        }

    def _string(self, shape: Any, raw: Any, name: str) -> str | None:
        if not isinstance(raw, str):
            self.refuse(name, "must be a string")
            return None
        allowed = shape.metadata.get("enum")
        if allowed and raw not in allowed:
            self.refuse(name, f"must be one of {', '.join(allowed)}")
        pattern = shape.metadata.get("pattern")
        if pattern and not compiled(pattern).fullmatch(raw):
            self.refuse(name, f"must match {pattern}")
        return raw

    def _boolean(self, shape: Any, raw: Any, name: str) -> bool | None:
        value = {"true": True, "false": False}.get(raw) if isinstance(raw, str) else raw
        if not isinstance(value, bool):
            self.refuse(name, "must be true or false")
            return None
        return value

    def _number(self, shape: Any, raw: Any, name: str) -> int | float | None:
        whole = shape.type_name in ("integer", "long")
        try:
            if isinstance(raw, bool) or (whole and isinstance(raw, float) and raw % 1):
                raise ValueError
            return int(raw) if whole else float(raw)
        except (TypeError, ValueError, OverflowError):
            self.refuse(name, "must be a whole number" if whole else "must be a number")
            return None

    def _timestamp(self, shape: Any, raw: Any, name: str) -> float | None:
        try:
            if isinstance(raw, str):
                return datetime.datetime.fromisoformat(raw.replace("Z", "+00:00")).timestamp()
            return float(raw)
        except (TypeError, ValueError):
            self.refuse(name, "must be a time")
            return None

    def _blob(self, shape: Any, raw: Any, name: str) -> bytes | None:
        try:
            return base64.b64decode(raw, validate=True)
        except (TypeError, ValueError, binascii.Error):
            self.refuse(name, "must be base64")
            return None

    def _limits(self, shape: Any, value: Any, name: str) -> None:
        sized = isinstance(value, (str, bytes, list, dict))
        if not sized and not isinstance(value, (int, float)):
            return
        measure = len(value) if sized else value
        unit = "a length of " if sized else ""
        least, most = shape.metadata.get("min"), shape.metadata.get("max")
        if least is not None and measure < least:
            self.refuse(name, f"must have {unit}at least {least}")
        if most is not None and measure > most:
            self.refuse(name, f"must have {unit}at most {most}")


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A model's pattern for Python; AWS means the whole value."""
    return re.compile(pattern.replace(*JAVA_CONTROL))


def write(shape: Any, value: Any) -> Any:
    """A value as JSON of the shape: only modelled members, nothing that is ``None``.

    Times are epoch seconds and blobs base64, as rest-json has them.
    """
    if shape.type_name == "structure":
        return {
            member_shape.serialization.get("name", member): write(member_shape, value[member])
            for member, member_shape in shape.members.items()
            if value.get(member) is not None
        }
    if shape.type_name == "list":
        return [write(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: write(shape.value, item) for key, item in value.items()}
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    return value


def located(shape: Any, location: str) -> Mapping[str, Any]:
    """The members of a structure that travel in the address, the query or a header."""
    return {
        member: member_shape
        for member, member_shape in shape.members.items()
        if member_shape.serialization.get("location") == location
    }
