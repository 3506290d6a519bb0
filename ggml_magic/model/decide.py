"""The decision rule as a user writes it.

``>= 0.31``, ``argmax dry,wet``, ``value`` or ``value within 0.5``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ggml_magic.device.contract import Decision, Rows
from ggml_magic.errors import ContractError, GrammarError

EXAMPLES = (
    '--decide ">= 0.5", --decide "argmax dry,drizzle,rain", --decide value '
    'or --decide "value within 0.5"'
)
FEWEST_CLASSES = 2


def parse(text: str) -> Decision:
    """Read a decision rule.

    Raises ``GrammarError`` for anything but the forms of ``Decision``.
    """
    stripped = text.strip()
    if stripped.startswith(">="):
        return _threshold(text, stripped[2:].strip())
    rule, _, names = stripped.partition(" ")
    if rule == "argmax":
        return _argmax(text, names)
    if rule == "value":
        return _value(text, names)
    raise _unread(text, "a decision is a threshold, the best of named classes, or the value")


def _threshold(text: str, number: str) -> Decision:
    try:
        at = float(number)
    except ValueError:
        raise _unread(text, f"{number!r} is not a number") from None
    if not math.isfinite(at):
        raise _unread(text, "a threshold is a finite number")
    return Decision("threshold", at)


def _argmax(text: str, names: str) -> Decision:
    classes = tuple(name.strip() for name in names.split(","))
    if len(classes) < FEWEST_CLASSES or not all(classes):
        raise _unread(text, "argmax needs the name of each class, two at least")
    if len(set(classes)) != len(classes):
        raise _unread(text, "a class is named twice")
    return Decision("argmax", classes=classes)


def _value(text: str, rest: str) -> Decision:
    if not rest.strip():
        return Decision("value")
    within, _, number = rest.strip().partition(" ")
    if within != "within":
        raise _unread(text, "behind 'value' there may stand 'within' and a number")
    try:
        tolerance = float(number)
    except ValueError:
        raise _unread(text, f"{number.strip()!r} is not a number") from None
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise _unread(text, "what an answer may differ by is a finite number above 0")
    return Decision("value", tolerance=tolerance)


def _unread(text: str, why: str) -> GrammarError:
    return GrammarError(f"cannot read the decision {text!r}", why, EXAMPLES)


def check_outputs(decision: Decision, outputs: int) -> None:
    """Raise ``ContractError`` unless the last stage has the outputs that the decision needs."""
    needed = decision.outputs_needed()
    if needed == outputs:
        return
    if decision.rule == "argmax":
        why = f"the decision names {needed} classes: {', '.join(decision.classes)}"
    else:
        why = f"the decision '{decision}' takes one output"
    names = ",".join(f"class{i}" for i in range(outputs))
    remedy = f'--decide "argmax {names}"' if outputs >= FEWEST_CLASSES else '--decide ">= 0.5"'
    raise ContractError(
        f"the last stage has {outputs} output{'s' if outputs > 1 else ''}", why, remedy
    )


def codes(decision: Decision, outputs: Rows) -> npt.NDArray[np.intp]:
    """The decisions as numbers, shape (N,): 0 or 1 for a threshold, the class's place for argmax.

    As ``Decision.answers`` decides, without a Python object for each of millions of rows.
    """
    if decision.rule == "threshold":
        reached: npt.NDArray[np.intp] = (outputs[:, 0] >= np.float32(decision.at)).astype(np.intp)
        return reached
    best: npt.NDArray[np.intp] = outputs.argmax(axis=1)
    return best


def flipped(
    decision: Decision, source: Rows, edge: Rows, tolerance: float
) -> npt.NDArray[np.bool_]:
    """Which rows are decided otherwise, shape (N,), from outputs (N, K) of source and edge.

    Where the value is the answer, a row flips when it differs by more than ``tolerance`` or is
    no number.
    """
    if decision.rule == "value":
        with np.errstate(invalid="ignore", over="ignore"):
            within: npt.NDArray[np.bool_] = np.abs(edge[:, 0] - source[:, 0]) <= tolerance
        return ~within
    different: npt.NDArray[np.bool_] = codes(decision, source) != codes(decision, edge)
    return different
