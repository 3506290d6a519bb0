"""A component's configuration: a tree of any-case keys with timestamps (EDGE-CORE 6).

Lists are leaves. A write of an equal value is nothing; an older one is ignored; an equal or
newer one replaces and is a change. Timestamps are milliseconds since 1970.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Defaults carry the oldest timestamp, so that any write of anyone is newer.
DEFAULTS_TIMESTAMP = 1
Path = tuple[str, ...]


@dataclass
class Leaf:
    """A value and when it was written."""

    value: Any
    modified: int


@dataclass
class Branch:
    """Nodes by lower-case key, each with the key as it was first written."""

    modified: int = 0
    children: dict[str, tuple[str, Node]] = field(default_factory=dict)


Node = Leaf | Branch


class PointerError(ValueError):
    """A JSON pointer that cannot be followed or must not be."""


def pointer(text: str) -> Path:
    """The keys of a JSON pointer; ``""`` is the whole document."""
    if not text:
        return ()
    if not text.startswith("/"):
        raise PointerError(f"{text!r} does not begin with /")
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in text[1:].split("/"))


class Tree:
    """One component's configuration."""

    def __init__(self, root: Branch | None = None) -> None:
        self.root = root or Branch()

    def read(self, path: Sequence[str]) -> Any:
        """The plain value at a path; raises ``KeyError``."""
        return _plain(self.node(path))

    def node(self, path: Sequence[str]) -> Node:
        """The node at a path; raises ``KeyError``."""
        node: Node = self.root
        for key in path:
            if isinstance(node, Leaf):
                raise KeyError(key)
            node = node.children[key.lower()][1]
        return node

    def merge(self, path: Sequence[str], value: Mapping[str, Any], timestamp: int) -> list[Path]:
        """Deep-merge a map below a path, made where it is missing; returns changed paths."""
        changes: list[Path] = []
        for key in reversed(path):
            value = {key: value}
        _merge(self.root, value, timestamp, (), changes)
        return changes

    def fill(self, defaults: Mapping[str, Any]) -> None:
        """Write defaults where nothing is; what is there stays."""
        _fill(self.root, defaults)

    def reset(self, text: str) -> None:
        """Remove what a JSON pointer names, ``""`` everything; missing is fine.

        Raises ``PointerError`` for an element of a list, which is removed as a whole only.
        """
        path = pointer(text)
        if not path:
            self.root = Branch()
            return
        try:
            parent = self.node(path[:-1])
        except KeyError:
            parent = self._nearest(path[:-1])
        if isinstance(parent, Leaf):
            if isinstance(parent.value, list):
                raise PointerError(f"{text!r} points into a list")
            return
        parent.children.pop(path[-1].lower(), None)

    def _nearest(self, path: Path) -> Node:
        """What stands in the way of a path that does not exist."""
        node: Node = self.root
        for key in path:
            if isinstance(node, Leaf) or key.lower() not in node.children:
                break
            node = node.children[key.lower()][1]
        return node if isinstance(node, Leaf) else Branch()

    def copy(self) -> Tree:
        """A tree of its own with the same nodes."""
        return Tree(copy.deepcopy(self.root))

    def leaves(self) -> Iterator[tuple[Path, Any]]:
        """Each leaf's path and value."""
        yield from _leaves(self.root, ())

    def dump(self) -> Any:
        """The tree with its timestamps as JSON."""
        return _dump(self.root)


def load(dumped: Any) -> Tree:
    """The tree that ``dump`` wrote."""
    node = _load(dumped)
    return Tree(node if isinstance(node, Branch) else None)


def changes(before: Tree, after: Tree) -> list[Path]:
    """Paths of leaves that were added, changed or removed."""
    old, new = dict(before.leaves()), dict(after.leaves())
    return [
        path
        for path in {**old, **new}
        if path not in old or path not in new or not same(old[path], new[path])
    ]


def caught_up(before: Tree, held: Tree, wanted: Tree) -> Tree:
    """What is wanted with what was written into ``held`` since it was ``before``.

    The later write counts, leaf by leaf. What is caught up already stays as it is.
    """
    found, written = wanted.copy(), _since(before.root, held.root)
    if isinstance(written, Branch):
        _overlay(found.root, written)
    return found


def same(left: Any, right: Any) -> bool:
    """JSON equality, in which ``true`` is not 1."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _plain(node: Node) -> Any:
    if isinstance(node, Leaf):
        return node.value
    return {name: _plain(child) for name, child in node.children.values()}


def _merge(
    branch: Branch, value: Mapping[str, Any], timestamp: int, path: Path, changed: list[Path]
) -> None:
    branch.modified = max(branch.modified, timestamp)
    for name, item in value.items():
        name, old = branch.children.get(name.lower(), (name, None))
        here = (*path, name)
        if isinstance(item, Mapping) and isinstance(old, Branch):
            _merge(old, item, timestamp, here, changed)
        elif old is not None and timestamp < old.modified:
            continue
        elif isinstance(item, Mapping):
            inner = Branch(timestamp)
            branch.children[name.lower()] = (name, inner)
            _merge(inner, item, timestamp, here, changed)
            if not item:
                changed.append(here)
        elif not (isinstance(old, Leaf) and same(old.value, item)):
            branch.children[name.lower()] = (name, Leaf(copy.deepcopy(item), timestamp))
            changed.append(here)


def _fill(branch: Branch, defaults: Mapping[str, Any]) -> None:
    for name, item in defaults.items():
        old = branch.children.get(name.lower())
        if old is None and isinstance(item, Mapping):
            inner = Branch(DEFAULTS_TIMESTAMP)
            branch.children[name.lower()] = (name, inner)
            _fill(inner, item)
        elif old is None:
            branch.children[name.lower()] = (name, Leaf(copy.deepcopy(item), DEFAULTS_TIMESTAMP))
        elif isinstance(old[1], Branch) and isinstance(item, Mapping):
            _fill(old[1], item)


def _since(old: Node | None, node: Node) -> Node | None:
    """The part of a node that was written since it was the old one; ``None`` for nothing."""
    if isinstance(node, Leaf):
        if not isinstance(old, Leaf) or old.modified != node.modified:
            return node
        return None if same(old.value, node.value) else node
    olds = old.children if isinstance(old, Branch) else {}
    parts = {
        key: (name, _since(olds[key][1] if key in olds else None, child))
        for key, (name, child) in node.children.items()
    }
    written = {key: (name, part) for key, (name, part) in parts.items() if part is not None}
    return Branch(node.modified, written) if written or not isinstance(old, Branch) else None


def _overlay(branch: Branch, written: Branch) -> None:
    """Merge nodes that carry the times of their own writing, in place."""
    branch.modified = max(branch.modified, written.modified)
    for key, (name, node) in written.children.items():
        name, old = branch.children.get(key, (name, None))
        if isinstance(node, Branch) and isinstance(old, Branch):
            _overlay(old, node)
        elif old is None or node.modified >= old.modified:
            branch.children[key] = (name, copy.deepcopy(node))


def _leaves(node: Node, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(node, Leaf):
        yield path, node.value
        return
    for name, child in node.children.values():
        yield from _leaves(child, (*path, name))


def _dump(node: Node) -> Any:
    if isinstance(node, Leaf):
        return {"value": node.value, "modified": node.modified}
    return {
        "modified": node.modified,
        "children": {name: _dump(child) for name, child in node.children.values()},
    }


def _load(dumped: Any) -> Node:
    if "children" not in dumped:
        return Leaf(dumped["value"], dumped["modified"])
    children = {name.lower(): (name, _load(child)) for name, child in dumped["children"].items()}
    return Branch(dumped["modified"], children)
