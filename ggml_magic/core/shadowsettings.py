"""The configuration of aws.greengrass.ShadowManager, as a deployment gives it.

Keys are of any case, numbers and truths may be text. What cannot be is left at its default and
named in ``problems``. Without the key ``synchronize``, and without the component, the classic
shadow of the core's thing is kept the same as the cloud's; ``{"coreThing": {"classic": false}}``
ends that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ggml_magic.core.shadow import (
    LARGEST_STATE_BYTES,
    MAX_STATE_BYTES,
    InvalidShadowError,
    check_names,
)

Direction = Literal["betweenDeviceAndCloud", "deviceToCloud", "cloudToDevice"]
DIRECTIONS: tuple[Direction, ...] = ("betweenDeviceAndCloud", "deviceToCloud", "cloudToDevice")
REAL_TIME, PERIODIC = "realTime", "periodic"
# Shadow manager's defaults (EDGE-AGENTS 3.5): requests a second, and seconds between rounds.
ALL_REQUESTS, THING_REQUESTS, OUTBOUND_UPDATES = 200, 20, 100
PERIOD_SECONDS = 300
TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True, order=True)
class Place:
    """Which shadow: a thing's name, and the shadow's, empty for the classic one."""

    thing: str
    name: str = ""


@dataclass(frozen=True)
class ShadowSettings:
    """What the shadow manager does; rates are a second, 0 ``period_seconds`` is at once."""

    followed: tuple[Place, ...] = ()
    direction: Direction = "betweenDeviceAndCloud"
    period_seconds: float = 0.0
    outbound_rate: int = OUTBOUND_UPDATES
    total_rate: int = ALL_REQUESTS
    thing_rate: int = THING_REQUESTS
    state_bytes: int = MAX_STATE_BYTES
    problems: tuple[str, ...] = ()


class Source:
    """The settings of now; ``read`` gives the configuration, ``warn`` hears what is wrong in it."""

    def __init__(
        self, thing: str, read: Callable[[], Mapping[str, Any]], warn: Callable[[str], None]
    ) -> None:
        self._thing = thing
        self._read = read
        self._warn = warn
        self._raw: Mapping[str, Any] | None = None
        self._settings = ShadowSettings()

    @property
    def now(self) -> ShadowSettings:
        """The settings; read again when the configuration is another one."""
        raw = self._read()
        if raw != self._raw:
            self._raw, self._settings = raw, parsed(raw, self._thing)
            for problem in self._settings.problems:
                self._warn(f"the shadow manager's configuration: {problem}")
        return self._settings


def parsed(configuration: Mapping[str, Any], thing: str) -> ShadowSettings:
    """The settings that a configuration means for a core with this thing."""
    reader = _Reader()
    top = reader.map(configuration, "configuration")
    synchronize = reader.map(top.get("synchronize"), "synchronize")
    strategy = reader.map(top.get("strategy"), "strategy")
    rates = reader.map(top.get("ratelimits"), "rateLimits")
    return ShadowSettings(
        tuple(sorted({*_followed(reader, synchronize, thing)})),
        _direction(reader, synchronize),
        _period(reader, strategy),
        reader.number(rates, "maxOutboundSyncUpdatesPerSecond", OUTBOUND_UPDATES),
        reader.number(rates, "maxTotalLocalRequestsRate", ALL_REQUESTS),
        reader.number(rates, "maxLocalRequestsPerSecondPerThing", THING_REQUESTS),
        reader.number(top, "shadowDocumentSizeLimitBytes", MAX_STATE_BYTES, LARGEST_STATE_BYTES),
        tuple(reader.problems),
    )


def _followed(reader: _Reader, synchronize: Mapping[str, Any], thing: str) -> Iterator[Place]:
    core = reader.map(synchronize.get("corething"), "synchronize.coreThing")
    yield from _places(reader, thing, core)
    documents = synchronize.get("shadowdocuments") or []
    if not isinstance(documents, list):
        reader.problems.append("synchronize.shadowDocuments is no list")
        documents = []
    for entry in documents:
        document = reader.map(entry, "synchronize.shadowDocuments")
        yield from _places(reader, str(document.get("thingname", "")), document)
    by_thing = synchronize.get("shadowdocumentsmap")
    if isinstance(by_thing, Mapping):
        for name, entry in by_thing.items():
            yield from _places(reader, name, reader.map(entry, "synchronize.shadowDocumentsMap"))


def _places(reader: _Reader, thing: str, entry: Mapping[str, Any]) -> Iterator[Place]:
    names = entry.get("namedshadows") or []
    if not isinstance(names, list):
        reader.problems.append("namedShadows is no list")
        names = []
    wanted = [""] if reader.truth(entry, "classic", default=True) else []
    for name in (*wanted, *names):
        try:
            check_names(thing, str(name))
        except InvalidShadowError as error:
            reader.problems.append(f"{thing!r} {name!r}: {error}")
            continue
        yield Place(thing, str(name))


def _direction(reader: _Reader, synchronize: Mapping[str, Any]) -> Direction:
    wanted = str(synchronize.get("direction", DIRECTIONS[0]))
    for direction in DIRECTIONS:
        if wanted.lower() == direction.lower():
            return direction
    reader.problems.append(f"synchronize.direction is one of {', '.join(DIRECTIONS)}")
    return DIRECTIONS[0]


def _period(reader: _Reader, strategy: Mapping[str, Any]) -> float:
    kind = str(strategy.get("type", REAL_TIME)).lower()
    if kind == PERIODIC:
        return float(reader.number(strategy, "delay", PERIOD_SECONDS))
    if kind != REAL_TIME.lower():
        reader.problems.append(f"strategy.type is {REAL_TIME} or {PERIODIC}")
    return 0.0


class _Reader:
    """Takes values as they may be written, and notes those that cannot be."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def map(self, value: object, name: str) -> dict[str, Any]:
        """A map with keys in lower case; empty where there is none."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.problems.append(f"{name} is no map")
            return {}
        return {str(key).lower(): item for key, item in value.items()}

    def number(
        self, values: Mapping[str, Any], name: str, default: int, largest: int | None = None
    ) -> int:
        """A number of at least 1."""
        value = values.get(name.lower(), default)
        try:
            number = int(value) if not isinstance(value, bool) else 0
        except (TypeError, ValueError, OverflowError):
            number = 0
        if number < 1 or (largest is not None and number > largest):
            most = "" if largest is None else f" to {largest}"
            self.problems.append(f"{name} is a number from 1{most}, not {value!r}")
            return default
        return number

    def truth(self, values: Mapping[str, Any], name: str, *, default: bool) -> bool:
        """True or false."""
        value = values.get(name.lower(), default)
        if isinstance(value, bool):
            return value
        known = TRUTHS.get(str(value).lower())
        if known is None:
            self.problems.append(f"{name} is true or false, not {value!r}")
            return default
        return known
