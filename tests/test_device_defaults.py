from __future__ import annotations

import inspect

from test_device_contract import contract_of
from test_device_cycle import Shadow

from ggml_magic.component.inference import FUNCTIONS
from ggml_magic.device import defaults
from ggml_magic.device.context import Context


def test_the_defaults_are_the_functions_that_a_cell_may_define() -> None:
    functions = inspect.getmembers(defaults, inspect.isfunction)
    assert {name: tuple(inspect.signature(f).parameters) for name, f in functions} == FUNCTIONS


def test_a_shadow_without_any_feature_is_no_reading_yet() -> None:
    shadow = Shadow({"rain_version": "1.0.0"})
    context = Context("pi", "rain", "1", {}, contract_of(["a", "b"]), shadow)
    assert defaults.read(context) is None
    shadow.reported["b"] = 2
    assert defaults.read(context) == {"rain_version": "1.0.0", "b": 2}
