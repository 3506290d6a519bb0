from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.errors import GrammarError
from ggml_magic.model.flips import FlipLimit, parse_flips


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 10_000_000))
def test_a_share_is_what_a_person_reckons(hundredths: int, rows: int) -> None:
    limit = parse_flips(f"{hundredths / 100}%")
    assert limit.rows(rows) == hundredths * rows // 10_000
    assert parse_flips(str(limit)).rows(rows) == limit.rows(rows)


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_a_count_is_itself(count: int, rows: int) -> None:
    assert parse_flips(str(count)) == parse_flips(count) == FlipLimit(None, count)
    assert parse_flips(count).rows(rows) == count


@pytest.mark.parametrize("text", ["", "%", "-1", "-1%", "101%", "0.5", "few", "nan%", "inf%"])
def test_text_that_is_no_limit(text: str) -> None:
    with pytest.raises(GrammarError, match="cannot read the limit of flips") as caught:
        parse_flips(text)
    assert "--max-flips" in caught.value.remedy
