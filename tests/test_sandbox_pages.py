from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.sandbox.faults import ServiceError
from ggml_magic.sandbox.pages import page


@given(st.lists(st.integers(), max_size=30), st.integers(1, 10))
@settings(deadline=None)
def test_all_pages_together_are_the_list(items: list[int], size: int) -> None:
    found: list[int] = []
    token = None
    while True:
        answer = page("items", items, {"maxResults": size, "nextToken": token})
        assert len(answer["items"]) <= size
        found += answer["items"]
        token = answer.get("nextToken")
        if token is None:
            break
    assert found == items


@pytest.mark.parametrize("token", ["?", "LTE=", "abcd"])
def test_a_foreign_token_is_refused(token: str) -> None:
    with pytest.raises(ServiceError, match="nextToken"):
        page("items", [1, 2], {"nextToken": token})
