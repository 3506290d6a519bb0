"""Cards: the same facts as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass

from ggml_magic.presentation import Card, Presented, plural, size

CARD = Card(
    "PASSED: <rain>",
    facts=(("rows", "23,386"), ("flips", "0")),
    columns=("row", "source"),
    rows=(("1", "dry & warm"),),
    notes=("nothing else",),
)


def test_text_is_aligned_and_whole() -> None:
    assert CARD.text().splitlines() == [
        "PASSED: <rain>",
        "  rows   23,386",
        "  flips  0",
        "  row  source",
        "  1    dry & warm",
        "  nothing else",
    ]


def test_html_says_the_same_and_escapes() -> None:
    shown = CARD.html()
    assert "PASSED: &lt;rain&gt;" in shown
    assert "dry &amp; warm" in shown
    assert "<script" not in shown
    for fact in ("23,386", "flips", "source", "nothing else"):
        assert fact in shown


def test_a_value_shows_its_card() -> None:
    class Value(Presented):
        def card(self) -> Card:
            return CARD

    assert str(Value()) == CARD.text()
    assert Value()._repr_html_() == CARD.html()


def test_ipython_shows_a_dataclass_by_its_card() -> None:
    from IPython.lib.pretty import pretty

    @dataclass(frozen=True)
    class Value(Presented):
        number: int = 1

        def card(self) -> Card:
            return CARD

    assert pretty(Value()) == CARD.text()
    assert repr(Value()).endswith("Value(number=1)")


def test_words_for_counts() -> None:
    assert (plural(1, "row"), plural(23386, "row")) == ("1 row", "23,386 rows")
    assert (size(4072), size(3_400_000)) == ("4,072 B", "3.4 MB")
    assert size(1_544_000_000) == "1.5 GB"
