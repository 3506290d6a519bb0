"""Verbs and arguments as values, and calls of them."""

from __future__ import annotations

from typing import Any

from ggml_magic.grammar.verb import Argument, Call, Kind, Verb

VERB = Verb(
    "sow",
    "put seeds into rows",
    (
        Argument("field", "where", positional=True, required=True),
        Argument("seeds", "what", positional=True, many=True, shown="SEED"),
        Argument("row_width", "how wide", Kind.NUMBER, shown="CM", default=20.0),
        Argument("deep", "or not", Kind.SWITCH, default=False),
        Argument("on_row", "called with each", Kind.SEAM),
    ),
)


def test_usage_says_what_can_be_left_out_or_repeated() -> None:
    shown = [argument.usage for argument in VERB.line]
    assert shown == ["FIELD", "[SEED…]", "[--row-width CM]", "[--deep]"]


def test_a_seam_is_no_part_of_a_line() -> None:
    assert [a.name for a in VERB.positional] == ["field", "seeds"]
    assert [a.name for a in VERB.options] == ["row_width", "deep"]


def test_a_call_gives_places_names_and_seams() -> None:
    seen: list[Any] = []

    def sow(*places: Any, **named: Any) -> str:
        seen.append((places, named))
        return "sown"

    values = {"field": "north", "seeds": ("rye", "oat"), "row_width": 2.0}
    assert Call(VERB, values).on(sow, on_row=print) == "sown"
    assert Call(VERB, {"field": "south"}).on(sow) == "sown"
    assert seen == [
        (("north", "rye", "oat"), {"row_width": 2.0, "on_row": print}),
        (("south",), {}),
    ]
