"""The page of conformance is what the rules and their tests say."""

from __future__ import annotations

from collections import Counter

import pytest
import rules


def test_the_page_is_true() -> None:
    assert rules.PAGE.read_text() == rules.page(), "make conformance"


def test_numbers_run_without_a_gap_and_name_one_rule() -> None:
    found = [each.number for each in rules.rules()]
    assert not [number for number, count in Counter(found).items() if count > 1]
    for section in rules.SECTIONS:
        own = [int(number[2:]) for number in found if number.startswith(f"{section}.")]
        assert own == list(range(1, len(own) + 1)), section


def test_a_rule_has_a_test_or_a_reason() -> None:
    assert all(bool(each.test) != bool(each.reason) for each in rules.rules())


def test_a_number_is_given_once() -> None:
    with pytest.raises(ValueError, match="is no number"):
        rules.rule("9.01", "both", "no such section")
    with pytest.raises(ValueError, match="is shown twice"):
        rules.rule("1.01", "both", "again")(test_a_number_is_given_once)
