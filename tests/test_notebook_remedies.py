"""Remedies name the rows that were typed."""

from __future__ import annotations

import pytest

from ggml_magic.errors import NotYetError
from ggml_magic.notebook.remedies import Remedies


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("validate rain --inputs mine --labels y", "%ggml validate rain --inputs mine"),
        ("profile rain --inputs=mine", "%ggml validate rain --inputs mine"),
        ("model rain net --inputs train", "%ggml validate rain --inputs X_test"),
        ("validate wind --inputs mine", "%ggml validate rain --inputs X_test"),
        ("package rain", "%ggml validate rain --inputs X_test"),
    ],
)
def test_the_name_that_was_typed_for_a_proof_is_in_the_remedy(line: str, remedy: str) -> None:
    remedies = Remedies()
    words = line.split()
    remedies.remember(words, words[1])
    error = NotYetError("rain was not proven", "", "%ggml validate rain --inputs X_test")
    remedies.complete(error, "rain")
    assert error.remedy == remedy and remedy in str(error)
