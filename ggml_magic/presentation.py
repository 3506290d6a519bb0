"""How a value looks: the same facts as plain text and as HTML.

A card is complete without colour, JavaScript or a widget, so that a papermill run, an e-mail
and a screen reader all show what a live notebook shows (DESIGN, rule 2).
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

# A name or a state stays on one line; a reason may take several.
LONGEST_UNBROKEN = 32


@dataclass(frozen=True)
class Card:
    """A title, a few facts, at most one table, code, and closing notes.

    ``facts`` are (label, value) pairs; ``columns`` and ``rows`` make the table.
    """

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    code: str = ""

    def text(self) -> str:
        """The card as lines of aligned text."""
        lines = [self.title]
        width = max((len(label) for label, _ in self.facts), default=0)
        lines += [f"  {label:<{width}}  {value}" for label, value in self.facts]
        if self.rows:
            table = (self.columns, *self.rows) if self.columns else self.rows
            widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
            for row in table:
                cells = zip(row, widths, strict=True)
                lines.append("  " + "  ".join(f"{c:<{w}}" for c, w in cells).rstrip())
        lines += [f"  {line}".rstrip() for line in self.code.splitlines()]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)

    def html(self) -> str:
        """The card as HTML without style sheets or scripts of its own."""
        parts = [f"<p><strong>{html.escape(self.title)}</strong></p>"]
        if self.facts:
            cells = "".join(
                f'<tr><th style="text-align:left">{html.escape(label)}</th>'
                f'<td style="text-align:left">{html.escape(value)}</td></tr>'
                for label, value in self.facts
            )
            parts.append(f"<table>{cells}</table>")
        if self.rows:
            parts.append(_html_table(self.columns, self.rows))
        if self.code:
            parts.append(f"<pre>{html.escape(self.code)}</pre>")
        parts += [f"<p>{html.escape(note)}</p>" for note in self.notes]
        return f'<div class="ggml-card">{"".join(parts)}</div>'


def _html_table(columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> str:
    head = "".join(
        f'<th scope="col" style="text-align:left">{html.escape(name)}</th>' for name in columns
    )
    body = "".join("<tr>" + "".join(_html_cell(value) for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_cell(value: str) -> str:
    wrap = "" if len(value) > LONGEST_UNBROKEN else ";white-space:nowrap"
    return f'<td style="text-align:left{wrap}">{html.escape(value)}</td>'


class Presented:
    """A value that shows itself as a card in a notebook and in a terminal."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # a dataclass brings a __repr__ of its own, and IPython takes whichever of the two
        # stands in the nearest class
        cls._repr_pretty_ = Presented._repr_pretty_  # type: ignore[method-assign]  # the same one

    def card(self) -> Card:
        """What a person sees of this value."""
        raise TypeError(f"{type(self).__name__} has no card")

    def __str__(self) -> str:
        return self.card().text()

    def _repr_html_(self) -> str:
        return self.card().html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def plural(count: int, noun: str) -> str:
    """``1 row``, ``2 rows``, ``23,386 rows``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def size(count: int) -> str:
    """Bytes as a person says them: ``4,072 B``, ``3.4 MB``, ``1.5 GB``."""
    for unit, name in ((1_000_000_000, "GB"), (1_000_000, "MB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:,} B"
