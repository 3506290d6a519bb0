"""One cycle: read, check, predict, write. A fault in it is told and never ends the loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from .context import LONGEST_TEXT, CallError, ConnectionLostError, Context, Result, echo
from .contract import ContractBreachError, Rows
from .handlers import Handlers, line

INTERVAL = "InferenceInterval"
INTERVAL_SECONDS = 1.0
SHORTEST_SECONDS = 0.05  # a core serves 20 shadow calls a second for a thing (EDGE-CORE 8)
NO_READING = "the shadow no longer holds a reading"


class Model(Protocol):
    """What predicts: rows (N, F) float32 in, outputs (N, K) float32 out."""

    def outputs(self, rows: Rows) -> Rows:
        """The outputs for some rows."""


class _RefusedError(Exception):
    """Why a reading gets no answer; ``reading`` is what there was of it."""

    def __init__(self, why: str, reading: Mapping[str, Any]) -> None:
        super().__init__(why)
        self.reading = reading


@dataclass
class Cycle:
    """The state between two cycles: what was last written, and what was last said."""

    context: Context
    model: Model
    handlers: Handlers
    say: Callable[[str], None]
    written: Result | None = None
    trouble: str = ""

    def once(self) -> None:
        """Run one cycle; raises ``ConnectionLostError`` and nothing else."""
        try:
            result = self._result()
            if result is not None and result != self.written:
                self._write(result)
        except CallError as error:
            self._complain(str(error))
        else:
            self.trouble = ""

    def _result(self) -> Result | None:
        try:
            reading = self._read()
            return None if reading is None else self._answer(reading)
        except _RefusedError as refused:
            context = self.context
            return Result(
                context.name,
                context.version,
                echo(context.contract, refused.reading),
                error=str(refused)[:LONGEST_TEXT],
                has_probability=context.contract.decision.rule != "value",
            )

    def _read(self) -> dict[str, Any] | None:
        try:
            reading = self.handlers.read(self.context)
        except (CallError, ConnectionLostError):
            raise
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise _RefusedError(f"read failed: {line(error)}", {}) from error
        if reading is None:
            self._take_back()
            return None
        if not isinstance(reading, Mapping):
            raise _RefusedError(f"read gave {type(reading).__name__}, not a dict of features", {})
        return {name: _plain(value) for name, value in reading.items()}

    def _take_back(self) -> None:
        """Without a reading, an answer that the shadow still shows must go."""
        answer = f"{self.context.name}_prediction"
        if self.context.shadow().get(answer) is not None:
            raise _RefusedError(NO_READING, {})

    def _answer(self, reading: dict[str, Any]) -> Result:
        contract = self.context.contract
        try:
            row = contract.row(reading)
        except ContractBreachError as error:
            raise _RefusedError(str(error), reading) from error
        outputs = self._outputs(row, reading)
        confidence = contract.decision.confidence(outputs)
        return Result(
            self.context.name,
            self.context.version,
            echo(contract, reading),
            contract.decision.answers(outputs).tolist()[0],
            None if confidence is None else float(confidence[0]),
            tuple(outputs[0].tolist()),
            has_probability=confidence is not None,
        )

    def _outputs(self, row: Rows, reading: Mapping[str, Any]) -> Rows:
        try:
            outputs = np.asarray(self.handlers.predict(row, self.model), dtype=np.float32)
        except (CallError, ConnectionLostError):
            raise
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise _RefusedError(f"predict failed: {line(error)}", reading) from error
        needed = (1, self.context.contract.decision.outputs_needed())
        if outputs.shape != needed:
            raise _RefusedError(f"predict gave shape {outputs.shape}, not {needed}", reading)
        if not np.isfinite(outputs).all():
            raise _RefusedError("the model's output is not a finite number", reading)
        return outputs

    def _write(self, result: Result) -> None:
        try:
            self.handlers.write(result, self.context)
        except (CallError, ConnectionLostError):
            raise
        # the user's code may raise anything; it is told in the shadow and in the log
        except (Exception, SystemExit) as error:  # noqa: BLE001
            why = f"write failed: {line(error)}"[:LONGEST_TEXT]
            self.context.report(
                replace(result, prediction=None, probability=None, error=why).report()
            )
            self.say(why)
        else:
            self._tell(result)
        self.written = result

    def _tell(self, result: Result) -> None:
        if result.error is not None:
            self.say(f"no answer: {result.error}")
            return
        values = ", ".join(f"{name} {value}" for name, value in result.reading.items())
        probability = "" if result.probability is None else f" ({result.probability:.4f})"
        self.say(f"{values}: {result.prediction}{probability}")

    def _complain(self, trouble: str) -> None:
        """Say a trouble with the core once, not every cycle that it lasts."""
        if trouble != self.trouble:
            self.say(f"the core: {trouble}")
        self.trouble = trouble


def interval(configuration: Mapping[str, Any]) -> tuple[float, str | None]:
    """The seconds between cycles, and what is wrong with the configured value, if anything.

    A number or a number as text; what cannot be an interval leaves the default in force.
    """
    value = configuration.get(INTERVAL, INTERVAL_SECONDS)
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if math.isfinite(seconds) and seconds > 0:
        return max(seconds, SHORTEST_SECONDS), None
    return INTERVAL_SECONDS, (
        f"{INTERVAL} cannot be {value!r}: it is a number of seconds above 0; "
        f"{INTERVAL_SECONDS:g} is used"
    )


def _plain(value: Any) -> Any:
    """A number that numpy made, as Python's."""
    return value.item() if isinstance(value, np.generic) else value
