"""What a local deployment is to do, as a person writes it and as the core takes it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ggml_magic.errors import GrammarError

ROLLBACK = "rollback"
POLICIES: Mapping[str, str] = {ROLLBACK: "ROLLBACK", "nothing": "DO_NOTHING"}
# What a --run-with says of a component, by its name in the request.
LIMITS: Mapping[str, type] = {"cpus": float, "memory": int}
USER = "posixUser"
DEPLOY = "%ggml core deploy"
EXAMPLE = {"MERGE": {"KEY": 1}, "RESET": ["/OTHER"]}


@dataclass(frozen=True)
class Wish:
    """What a local deployment is to do; folders and files are as a person wrote them.

    ``run_with`` maps ``NAME`` or ``NAME:posixUser`` to a user, ``NAME:cpus`` to processors and
    ``NAME:memory`` to kilobytes. ``configuration`` is a mapping, JSON, or a file of it.
    """

    recipes: str | None = None
    artifacts: str | None = None
    add: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    configuration: Mapping[str, Any] | str | None = None
    run_with: Mapping[str, str] = field(default_factory=dict)
    on_failure: str = ROLLBACK

    def line(self, thing: str | None) -> str:
        """The wish as a line; one that is given to a shell or a magic as it is."""
        words: list[tuple[str, str]] = [("--thing", thing)] if thing else []
        words += [
            (option, folder)
            for option, folder in (("--recipes", self.recipes), ("--artifacts", self.artifacts))
            if folder is not None
        ]
        words += [("--component", f"{name}={version}") for name, version in self.add.items()]
        words += [("--remove", name) for name in self.remove]
        if self.configuration is not None:
            written = self.configuration
            text = written if isinstance(written, str) else json.dumps(dict(written), default=str)
            words.append(("--configuration", text))
        words += [("--run-with", f"{name}={value}") for name, value in self.run_with.items()]
        if self.on_failure != ROLLBACK:
            words.append(("--on-failure", self.on_failure))
        return " ".join((DEPLOY, *(f"{option} {shlex.quote(value)}" for option, value in words)))


def request(wish: Wish) -> dict[str, Any]:
    """The wish as CreateLocalDeployment takes it; raises ``GrammarError``."""
    written: dict[str, Any] = {"failureHandlingPolicy": POLICIES[wish.on_failure]}
    for name, option, folder in (
        ("recipeDirectoryPath", "--recipes", wish.recipes),
        ("artifactsDirectoryPath", "--artifacts", wish.artifacts),
    ):
        if folder is not None:
            written[name] = _folder(option, folder)
    if wish.add:
        written["rootComponentVersionsToAdd"] = dict(wish.add)
    if wish.remove:
        written["rootComponentsToRemove"] = list(wish.remove)
    if wish.configuration is not None:
        written["componentToConfiguration"] = _configuration(wish)
    if wish.run_with:
        written["componentToRunWithInfo"] = _run_with(wish.run_with)
    if len(written) == 1:
        raise GrammarError(
            "core deploy is given nothing to do",
            "it takes --component, --remove, --configuration or --run-with",
            f"{DEPLOY} --recipes DIR --artifacts DIR --component NAME=VERSION",
        )
    return written


def _folder(option: str, text: str) -> str:
    path = Path(text).expanduser()
    if not path.is_dir():
        raise GrammarError(f"{option} {text} is no folder", remedy=f"ls {path.parent}")
    return str(path.resolve())


def _configuration(wish: Wish) -> Any:
    """A mapping; JSON from a file, where there is one of that name, else the text itself."""
    written = wish.configuration
    example = {next(iter(wish.add), "NAME"): EXAMPLE}
    line = Wish(
        wish.recipes, wish.artifacts, wish.add, wish.remove, example, wish.run_with, wish.on_failure
    ).line(None)
    try:
        if isinstance(written, Mapping):
            # what goes to the core is JSON's own kinds, and nothing that only looks like them
            return json.loads(json.dumps(dict(written)))
        if not isinstance(written, str):
            raise TypeError(f"it is {type(written).__name__}")
        is_text = written.lstrip().startswith("{")
        return json.loads(written if is_text else Path(written).expanduser().read_text())
    except (OSError, ValueError, TypeError, RecursionError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise GrammarError(
            "--configuration is neither a file of JSON nor JSON", why, line
        ) from None


def _run_with(written: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key, value in written.items():
        name, _, what = key.partition(":")
        entry = found.setdefault(name, {})
        if what in ("", USER):
            entry[USER] = value
            continue
        try:
            entry.setdefault("systemResourceLimits", {})[what] = LIMITS[what](value)
        except (KeyError, ValueError):
            raise GrammarError(
                f"--run-with {key}={value} is not understood",
                "it is NAME=USER[:GROUP], NAME:cpus=NUMBER or NAME:memory=KILOBYTES",
                "%ggml core deploy --help",
            ) from None
    return found
