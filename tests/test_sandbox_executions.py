from __future__ import annotations

import pytest

from ggml_magic.sandbox import executions


@pytest.mark.parametrize(
    ("status", "details", "wanted"),
    [
        ("QUEUED", {}, None),
        ("IN_PROGRESS", {"step": "downloading"}, None),
        ("SUCCEEDED", {"detailed-deployment-status": "SUCCESSFUL"}, "SUCCESSFUL"),
        (
            "FAILED",
            {
                "detailed-deployment-status": "FAILED_ROLLBACK_COMPLETE",
                "deployment-failure-cause": "install exited with 3",
            },
            "FAILED_ROLLBACK_COMPLETE: install exited with 3",
        ),
        ("FAILED", {"why": "no disk"}, "no disk"),
        ("REJECTED", {}, None),
    ],
)
def test_the_reason_is_one_line(status: str, details: dict[str, str], wanted: str | None) -> None:
    assert executions.reason(status, details) == wanted


@pytest.mark.parametrize("stack", ['["A", "B"]', "[A, B]", "A,B"])
def test_error_stacks_are_lists(stack: str) -> None:
    details = {"deployment-error-stack": stack}
    assert executions.error_details("FAILED", details) == {
        "errorStack": ["A", "B"],
        "errorTypes": [],
    }
    assert executions.error_details("SUCCEEDED", details) is None
