"""Keys that a nucleus passes over are told to who wrote them."""

from __future__ import annotations

import pytest

from ggml_magic.core import dialects
from ggml_magic.core.spelling import passed_over

GOOD = {
    "recipeformatversion": "2020-01-25",
    "ComponentName": "a",
    "Manifests": [{"PLATFORM": {"own": "x"}, "lifecycle": {"setEnv": {}, "Run": {"script": "x"}}}],
    "Lifecycle": {"linux": {"run": "x"}},
}


def test_what_is_read_in_any_case_is_not_told() -> None:
    assert [*passed_over(GOOD)] == []


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"Lifecyle": {}}, "the recipe: Lifecyle means nothing and is passed over; did you mean "
         "Lifecycle?"),
        ({"Zebra": 1}, "the recipe: Zebra means nothing and is passed over"),
        ({"Manifests": [{}, {"Artefacts": []}]}, "Manifests[1]: Artefacts means nothing and is "
         "passed over; did you mean Artifacts?"),
        ({"Manifests": [{"Lifecycle": {"rum": "x"}}]}, "Manifests[0].Lifecycle: rum means nothing "
         "and is passed over; did you mean run?"),
    ],
)  # fmt: skip
def test_what_nobody_reads_is_told(written: dict[str, object], said: str) -> None:
    assert [*passed_over({**GOOD, **written})] == [said]


def test_both_dialects_tell_it() -> None:
    text = b'{"ComponentName": "a", "Lifecyle": {}}'
    for dialect in ("classic", "lite"):
        assert any("did you mean Lifecycle" in said for said in dialects.warnings(text, dialect))
