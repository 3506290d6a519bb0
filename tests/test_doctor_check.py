"""A diagnosis as a table that needs no colour."""

from __future__ import annotations

import json

from ggml_magic.doctor.check import Check, Diagnosis

CHECKS = (
    Check("Python", True, "3.11.7"),
    Check("TensorFlow", False, "not installed", "pip install x"),
    Check("emulated aarch64", None, "qemu-user does not run on Darwin"),
)


def test_each_state_is_a_word_and_what_is_missing_has_its_mend() -> None:
    lines = str(Diagnosis(CHECKS)).splitlines()
    assert lines[0] == "Doctor: 1 of 3 missing"
    assert "ok" in lines[2] and "missing" in lines[3] and "not checked" in lines[4]
    assert lines[3].endswith("pip install x")


def test_what_was_not_checked_is_not_missing() -> None:
    assert Diagnosis(CHECKS[::2]).ok and not Diagnosis(CHECKS).ok
    assert str(Diagnosis(CHECKS[::2])).startswith("Doctor: nothing is missing")


def test_the_same_as_html_and_json() -> None:
    diagnosis = Diagnosis(CHECKS)
    html = diagnosis._repr_html_()
    assert "not checked" in html
    given = json.loads(json.dumps(diagnosis.to_dict()))
    assert given["ok"] is False
    assert given["checks"][1] == {
        "name": "TensorFlow",
        "ok": False,
        "saw": "not installed",
        "mend": "pip install x",
        "state": "missing",
    }
