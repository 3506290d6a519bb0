"""What the configuration of the nucleus component says to the core itself (EDGE-CORE 1, 3, 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ggml_magic.core import dialects
from ggml_magic.core.disk import Layout
from ggml_magic.core.inventory import Contents
from ggml_magic.core.packages import STORE_BYTES
from ggml_magic.core.platforms import Dialect, device_platform
from ggml_magic.core.provided import NUCLEUS, NUCLEUS_LITE
from ggml_magic.core.variables import interpolates

OVERRIDE = "platformOverride"
STORE = "componentStoreMaxSizeBytes"
DIALECT_FILE = "dialect.json"


@dataclass(frozen=True)
class Nucleus:
    """The core as a nucleus: its dialect, its platform, and how it takes configurations.

    ``interpolates`` says that variables in configurations are filled in; ``store_bytes`` is the
    most that recipes and artifacts may take.
    """

    dialect: Dialect
    platform: Mapping[str, str]
    interpolates: bool = False
    store_bytes: int = STORE_BYTES


def dialect(layout: Layout, asked: str = "") -> Dialect:
    """The core's dialect: the one asked for, else the one it had when it ran last."""
    return dialects.kept(layout.state_file.with_name(DIALECT_FILE), asked)


def read(layout: Layout, held: Contents) -> Nucleus:
    """The nucleus as the device's contents configure it."""
    own = dialect(layout)
    component = held.components.get(NUCLEUS if own == "classic" else NUCLEUS_LITE)
    written = component.configuration.read(()) if component else {}
    said: dict[str, Any] = {key.lower(): value for key, value in written.items()}
    override = said.get(OVERRIDE.lower())
    platform = device_platform(override if isinstance(override, Mapping) else {}, own)
    return Nucleus(own, platform, interpolates(written), _bytes(said.get(STORE.lower())))


def _bytes(written: object) -> int:
    """A number of bytes; what is none leaves the default."""
    text = str(written)
    return int(text) if text.isdecimal() and text.isascii() else STORE_BYTES
