"""Units that a caller's rows are in, turned into the contract's.

``pressure:Pa,humidity:fraction`` says what the rows hold; the contract says what the model was
trained on. pint knows the units and is imported when there is something to convert: its import
and its registry take half a second, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ggml_magic.device.contract import Contract, Feature, Rows
from ggml_magic.errors import ContractError, GrammarError, MissingExtraError, UnknownNameError

EXAMPLE = '--units "pressure:Pa,temperature:K"'
# As people write them. C and F are the coulomb and the farad to pint: see _unit.
ALIASES = {
    "℃": "degC",
    "℉": "degF",
    "celsius": "degC",
    "centigrade": "degC",
    "fahrenheit": "degF",
    "kelvin": "K",
    "fraction": "dimensionless",
    "ratio": "dimensionless",
    "pct": "percent",
    "pascal": "Pa",
}
DEGREES = {"c": "degC", "f": "degF", "k": "K", "deg c": "degC", "deg f": "degF"}
# "W/m2" and "kg m-2": an exponent without its sign
EXPONENT = re.compile(r"(?<=[A-Za-z])(-?\d+)")
# pint evaluates what it parses, and 9**9**9 would not end
TOWER = re.compile(r"\d\s*(?:\*\*|\^)")
# pint's factors carry the noise of float64 (0.010000000000000002); float32 has 7 digits
DIGITS = 12
BLOCK_ROWS = 65_536
# What people confuse with one another, dimension by dimension.
FAMILIES = (
    ("Pa", "hPa", "kPa", "bar", "psi", "mmHg", "inHg", "atm"),
    ("degC", "degF", "K"),
    ("%", "fraction"),
    ("m/s", "km/h", "knot", "mph"),
    ("m", "km", "cm", "mm", "inch", "foot", "mile"),
    ("m^2", "ft^2", "hectare", "acre"),
    ("m^3", "liter", "ml"),
    ("kg", "g", "lb"),
    ("s", "ms", "minute", "hour", "day"),
    ("radian", "degree"),
    ("W", "kW", "MW"),
    ("V", "mV"),
    ("A", "mA"),
    ("Hz", "kHz", "MHz"),
    ("J", "kJ", "kWh"),
)


@dataclass(frozen=True)
class Conversion:
    """``wanted`` = ``given`` * scale + offset, for the feature in one column."""

    column: int
    given: str
    wanted: str
    scale: float
    offset: float


def parse_units(given: str | Mapping[str, str], contract: Contract) -> tuple[Conversion, ...]:
    """What must be done to rows in other units than the contract's; empty for the same ones.

    ``given`` is ``NAME:UNIT`` with commas, or a mapping; features that it leaves out are in the
    contract's unit. Raises ``GrammarError`` for other text, ``UnknownNameError`` for a name that
    is no feature, ``ContractError`` for units that are not of one kind.
    """
    places = {name: i for i, name in enumerate(contract.names)}
    conversions = []
    for name, unit in _pairs(given):
        if name not in places:
            raise UnknownNameError(
                f"no feature is called {name!r}",
                f"the contract has {', '.join(contract.names)}",
                f"--units {contract.names[0]}:UNIT",
            )
        feature = contract.features[places[name]]
        if unit != feature.unit:
            scale, offset = _between(unit, feature)
            if (scale, offset) != (1.0, 0.0):
                conversions.append(Conversion(places[name], unit, feature.unit, scale, offset))
    return tuple(conversions)


def _pairs(given: object) -> Iterable[tuple[str, str]]:
    if isinstance(given, Mapping):
        texts = [f"{name}:{unit}" for name, unit in given.items()]
    elif isinstance(given, str):
        texts = given.split(",")
    else:
        raise _unread(type(given).__name__, "units are a text or a dict")
    pairs = []
    for text in texts:
        name, colon, unit = (part.strip() for part in text.partition(":"))
        if not (name and colon and unit):
            raise _unread(repr(text.strip()), "each is NAME:UNIT")
        pairs.append((name, unit))
    twice = next((name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1), None)
    if twice is not None:
        raise _unread(repr(given), f"{twice!r} is named twice")
    return pairs


def _unread(what: str, why: str) -> GrammarError:
    return GrammarError(f"cannot read units from {what}", why, EXAMPLE)


def _between(given: str, feature: Feature) -> tuple[float, float]:
    """(scale, offset) from one unit to a feature's; raises ``ContractError`` that names both."""
    told = f"{feature.name!r} cannot be turned from {given!r} into {feature.unit or 'no unit'!r}"
    if not feature.unit:
        raise ContractError(
            told,
            "the contract has no unit for it",
            f"--features {feature.name}:UNIT, described again",
        )
    wanted = _unit(feature.unit, given)
    source = _unit(given, feature.unit)
    for text, unit in ((given, source), (feature.unit, wanted)):
        if unit is None:
            raise ContractError(told, f"{text!r} is no unit that is known", EXAMPLE)
    if _kind(source) != _kind(wanted):
        raise ContractError(
            told, "they measure different things", f"--units {feature.name}:{feature.unit}"
        )
    return _affine(source, wanted, told)


def _unit(text: str, beside: str) -> Any:
    """pint's unit for a text, None where it knows none.

    ``C`` and ``F`` are degrees where the unit ``beside`` them is a temperature.
    """
    plain = " ".join(text.split())
    if beside and plain.lower() in DEGREES and _is_temperature(beside):
        plain = DEGREES[plain.lower()]
    if TOWER.search(plain):
        return None
    plain = ALIASES.get(plain.lower(), plain)
    for spelling in (plain, EXPONENT.sub(r"**(\1)", plain).replace(" ", "*")):
        try:
            return _registry().parse_units(spelling)
        # pint's parser raises what tokenizing and evaluating raise: TokenError, TypeError, …
        except Exception:  # noqa: BLE001, S112  the next spelling, else unknown
            continue
    return None


def _is_temperature(text: str) -> bool:
    if text.lower() in DEGREES:
        return True
    unit = _unit(text, "")
    return unit is not None and _kind(unit) == _kind(_registry().kelvin)


@cache
def _registry() -> Any:
    try:
        import pint
    except ImportError:
        raise MissingExtraError(
            "units cannot be converted", "pint is not installed", "pip install pint"
        ) from None
    return pint.UnitRegistry()


def _kind(unit: Any) -> str:
    """What a unit measures. Angles have no dimension either, and are no percentages."""
    return str(_registry().get_root_units(unit, check_nonmult=False)[1])


def _affine(source: Any, wanted: Any, told: str) -> tuple[float, float]:
    quantity = _registry().Quantity
    try:
        zero, one, two = (float(quantity(x, source).to(wanted).magnitude) for x in (0.0, 1.0, 2.0))
    except Exception as error:  # logarithms of zero, and units that pint cannot bring together
        raise ContractError(told, f"{type(error).__name__}", EXAMPLE) from error
    scale = _rounded(one - zero)
    if not np.isclose(two - zero, 2 * scale, rtol=1e-9):
        raise ContractError(told, "one is a logarithm of the other", "convert the rows yourself")
    return scale, _rounded(zero)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def converted(rows: Rows, contract: Contract, given: str | Mapping[str, str]) -> Rows:
    """Rows (N, F) in the contract's units; rows that need nothing come back themselves.

    Raises as ``parse_units`` does.
    """
    conversions = parse_units(given, contract)
    if not conversions:
        return rows
    result = np.array(rows, dtype=np.float32, order="C")
    for start in range(0, len(result), BLOCK_ROWS):
        block = result[start : start + BLOCK_ROWS]
        for conversion in conversions:
            column = block[:, conversion.column].astype(np.float64)
            block[:, conversion.column] = column * conversion.scale + conversion.offset
    return result


def confusable(unit: str) -> tuple[tuple[str, float, float], ...]:
    """Units that people confuse with ``unit``: (other, scale, offset).

    A value in ``unit`` is the other's value * scale + offset. Empty for a unit that is not known.
    """
    known = _unit(unit, "K" if unit.lower() in DEGREES else "") if unit else None
    if known is None:
        return ()
    kind, found = _kind(known), []
    for family in FAMILIES:
        first = _unit(family[0], "")
        if _kind(first) != kind:
            continue
        for other in family:
            scale, offset = _affine(_unit(other, ""), known, f"{other} into {unit}")
            if (scale, offset) != (1.0, 0.0):
                found.append((other, scale, offset))
    return tuple(found)
