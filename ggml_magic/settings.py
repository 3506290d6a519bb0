"""Where things go: the cloud, the region, the bucket, names and limits.

Settings come from the workspace (``%ggml config``) and, above it, from ``GGML_…`` variables.
Nothing is guessed from credentials that happen to be there (DESIGN: the cloud changes only when
someone says so).
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
from dataclasses import asdict, dataclass, fields, replace

from ggml_magic import workspace as ws
from ggml_magic.errors import SettingsError
from ggml_magic.presentation import Card, Presented

CLOUDS = ("sandbox", "aws")
SETTINGS_FILE = "config.json"
# S3's rule for names, without the dots that Greengrass refuses (GREENGRASS 3).
BUCKET = re.compile(r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")
PREFIX = re.compile(r"^[a-zA-Z0-9._-]{1,64}$")
REGION = re.compile(r"^[a-z]{2}(-[a-z]+)+-\d$")


@dataclass(frozen=True)
class Settings(Presented):
    """What ``%ggml config`` shows.

    ``bucket`` empty means ``ggml-<account>-<region>``; ``prefix`` begins every component's name;
    ``idle_minutes`` ends the sandbox and its cores.
    """

    cloud: str = "sandbox"
    region: str = "eu-west-1"
    bucket: str = ""
    prefix: str = "com.example"
    idle_minutes: float = 30.0

    def __post_init__(self) -> None:
        allowed = {
            "cloud": self.cloud in CLOUDS,
            "region": bool(REGION.match(self.region)),
            "bucket": not self.bucket or bool(BUCKET.match(self.bucket)),
            "prefix": bool(PREFIX.match(self.prefix)),
            "idle_minutes": self.idle_minutes > 0,
        }
        for name, fits in allowed.items():
            if not fits:
                raise SettingsError(
                    f"{name} cannot be {getattr(self, name)!r}", RULES[name], EXAMPLES[name]
                )

    def card(self) -> Card:
        """The settings, one a line."""
        facts = tuple(
            (name, str(value) or "(chosen per account)") for name, value in asdict(self).items()
        )
        return Card("settings of this workspace", facts)


RULES = {
    "cloud": f"it is one of {', '.join(CLOUDS)}",
    "region": "it is a region's name such as eu-west-1",
    "bucket": "3 to 63 lower-case letters, digits and hyphens; Greengrass refuses dots",
    "prefix": "letters, digits, dots, hyphens and underscores, at most 64",
    "idle_minutes": "it is a number of minutes above 0",
}
EXAMPLES = {
    "cloud": "%ggml config cloud=sandbox",
    "region": "%ggml config region=eu-west-1",
    "bucket": "%ggml config bucket=my-edge-artifacts",
    "prefix": "%ggml config prefix=com.example",
    "idle_minutes": "%ggml config idle_minutes=30",
}
NAMES = tuple(field.name for field in fields(Settings))


def load(workspace: ws.Workspace) -> Settings:
    """The settings in force: defaults, then the workspace's, then ``GGML_…`` variables."""
    stored = ws.read_json(workspace.root / SETTINGS_FILE) or {}
    variables = {name: f"GGML_{name.upper()}" for name in NAMES}
    named = {name: variable for name, variable in variables.items() if variable in os.environ}
    kept = {name: value for name, value in stored.items() if name not in named}
    settings = changed(Settings(), kept)
    for name, variable in named.items():
        settings = _from_environment(settings, name, variable)
    return settings


def _from_environment(settings: Settings, name: str, variable: str) -> Settings:
    try:
        return changed(settings, {name: os.environ[variable]})
    except SettingsError as error:
        # the variable goes above the workspace: no %ggml config would mend it
        raise SettingsError(
            f"{error.what}, as {variable} says", error.why, f"unset {variable}"
        ) from None


def store(workspace: ws.Workspace, changes: dict[str, str]) -> Settings:
    """Keep changes in the workspace; returns the settings in force afterwards."""
    stored = ws.read_json(workspace.root / SETTINGS_FILE) or {}
    changed(Settings(), {**stored, **changes})
    ws.write_json(workspace.root / SETTINGS_FILE, {**stored, **changes})
    return load(workspace)


def changed(settings: Settings, changes: dict[str, str]) -> Settings:
    """Settings with changes given as text.

    Raises ``SettingsError`` for a name that is not a setting or a value that cannot be one.
    """
    values: dict[str, object] = {}
    for name, value in changes.items():
        if name not in NAMES:
            raise _unknown(name, value)
        values[name] = _number(name, value) if name == "idle_minutes" else str(value)
    return replace(settings, **values)  # type: ignore[arg-type]  # checked in __post_init__


def _unknown(name: str, value: object) -> SettingsError:
    near = difflib.get_close_matches(name, NAMES, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return SettingsError(
        f"no setting is called {name!r}",
        f"there are {', '.join(NAMES)}{meant}",
        f"%ggml config {near[0]}={shlex.quote(str(value))}" if near else "%ggml config",
    )


def _number(name: str, value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        raise SettingsError(f"{name} cannot be {value!r}", RULES[name], EXAMPLES[name]) from None
