"""A recipe's text as plain values: JSON or YAML, whichever it is (EDGE-CORE 1).

A recipe comes from someone else, so reading it must cost no more than its size: what is huge,
nested deeply or unfolds by aliases is refused before it is built.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, ClassVar

# Eight times what the service takes (GREENGRASS 4); a local recipe may be a little longer.
LARGEST_TEXT_BYTES = 128_000
DEEPEST = 100
# How YAML's plain scalars are read: as JSON's, in any case. "yes", "0o7" or 2020-01-25 are text.
NULL, TRUE, FALSE = re.compile(r"~|null|Null|NULL|"), ("true",), ("false",)
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,300})")
REAL = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")


class RecipeError(Exception):
    """A recipe that a device cannot use; the text says why."""


@dataclass(frozen=True)
class Text:
    """What a recipe's text holds; ``kind`` is ``json`` or ``yaml``."""

    document: dict[str, Any]
    kind: str


def decode(content: bytes | str) -> Text:
    """Read a recipe's text; raises ``RecipeError``."""
    raw = content.encode() if isinstance(content, str) else content
    if len(raw) > LARGEST_TEXT_BYTES:
        raise RecipeError(
            f"the recipe has {len(raw)} bytes; more than {LARGEST_TEXT_BYTES} are not read"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RecipeError("the recipe is no UTF-8 text") from None
    try:
        found, kind = json.loads(text, parse_constant=_no_constant), "json"
    except RecursionError:
        raise RecipeError(TOO_DEEP) from None
    except ValueError as error:
        found, kind = _yaml(text, str(error)), "yaml"
    if not isinstance(found, dict):
        raise RecipeError("the recipe is no object")
    if _depth_beyond(found, DEEPEST):
        raise RecipeError(TOO_DEEP)
    return Text(found, kind)


TOO_DEEP = f"the recipe is nested deeper than {DEEPEST} levels"


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _yaml(text: str, no_json: str) -> Any:
    # a core that only ever gets JSON from the cloud does not carry the YAML parser
    import yaml

    try:
        _check_events(yaml, text)
        return yaml.load(text, Loader=_loader(yaml))  # noqa: S506  # a SafeLoader, made stricter
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        if text.lstrip().startswith("{"):
            raise RecipeError(f"the recipe is no JSON: {no_json}") from None
        raise RecipeError(
            f"the recipe is neither JSON nor YAML: {_sentence(text, error)}"
        ) from None


def _sentence(text: str, error: Exception) -> str:
    """What the YAML parser says, and where, without its picture of the place."""
    mark, position = getattr(error, "problem_mark", None), getattr(error, "position", None)
    if mark is not None:
        what = str(getattr(error, "problem", "")).replace("'<stream end>'", "the end")
        return f"line {mark.line + 1}, column {mark.column + 1}: {what}"
    if position is not None:  # a character that YAML does not have
        before = text[:position].split("\n")
        place = f"line {len(before)}, column {len(before[-1]) + 1}"
        return f"{place}: a character that YAML does not have, U+{ord(text[position]):04X}"
    return " ".join(str(error).split())


def _check_events(yaml: Any, text: str) -> None:
    """Look for aliases and depth in the stream of events, which costs no more than the text."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise RecipeError("the recipe uses YAML aliases, which can unfold without end")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise RecipeError(TOO_DEEP)


def _loader(yaml: Any) -> Any:
    """A safe loader that knows JSON's types only, and keys that are text."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # the module is imported late
        yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, Any]]]] = {}

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            """Plain scalars by our own rules; a tag of any other kind is refused."""
            if isinstance(node, yaml.ScalarNode):
                return _scalar(node, yaml)
            known = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
            if node.tag not in known:
                raise yaml.constructor.ConstructorError(None, None, f"{node.tag} is not JSON")
            return super().construct_object(node, deep=True)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
            """A map by text; what YAML would merge or hash stays as it is written."""
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.constructor.ConstructorError(None, None, "a key is no text")
            return {key.value: self.construct_object(value) for key, value in node.value}

    return Loader


def _scalar(node: Any, yaml: Any) -> Any:
    text: str = node.value
    if node.tag != "tag:yaml.org,2002:str":
        raise yaml.constructor.ConstructorError(None, None, f"{node.tag} is not JSON")
    if node.style is not None:  # quoted or a block: text for sure
        return text
    if NULL.fullmatch(text):
        return None
    if text.lower() in (*TRUE, *FALSE):
        return text.lower() in TRUE
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if REAL.fullmatch(text) else text


def _depth_beyond(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True
