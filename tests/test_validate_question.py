"""A question is a value with a name to put into remedies; a suspect is plain words."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pytest

from ggml_magic.device.contract import Contract, Decision
from ggml_magic.validate.question import Question, Suspect


def test_a_suspect_is_a_value_that_json_can_hold() -> None:
    suspect = Suspect("unit", "The file takes pressure in Pa.", "%ggml convert rain", 403, 0)
    assert Suspect(**asdict(suspect)) == suspect
    with pytest.raises(FrozenInstanceError):
        suspect.after = 3  # type: ignore[misc]


def test_a_question_without_a_name_says_so_in_its_remedies() -> None:
    one = np.zeros((1, 1), dtype=np.float32)
    contract = Contract((), Decision("value"))
    asked = Question(contract, None, one, one, one, abs, abs, None, None, 0.1)
    assert asked.name == "NAME"
