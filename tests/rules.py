"""The rules of a Greengrass core, each with the test that shows whether this core follows it.

``@rule("1.02", "classic", "...")`` stands above the one test of a rule. A rule that is not
followed has no test but a line in ``NOT_FOLLOWED`` with the reason. ``python tests/rules.py``
writes docs/conformance.md from both; test_conformance compares the page with them.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

Dialect = Literal["both", "classic", "lite"]
Test = TypeVar("Test", bound=Callable[..., Any])

SECTIONS = {
    1: "Recipes",
    2: "Dependency resolution",
    3: "Artifacts and the disk",
    4: "Recipe variables",
    5: "Lifecycle",
    6: "Configuration",
    7: "Deployments",
    8: "IPC",
}
NUMBER = re.compile(r"[1-8]\.\d\d")
PAGE = Path(__file__).parents[1] / "docs" / "conformance.md"


@dataclass(frozen=True, order=True)
class Rule:
    """One rule; either the ``test`` that shows it or the ``reason`` why it is not followed."""

    number: str
    dialect: Dialect
    says: str
    test: str = ""
    reason: str = ""


FOLLOWED: dict[str, Rule] = {}
# Said out loud: what a component could see of a real core and not of this one.
NOT_FOLLOWED: tuple[Rule, ...] = ()


def rule(number: str, dialect: Dialect, says: str) -> Callable[[Test], Test]:
    """The test below shows this rule; a number is given once."""
    if not NUMBER.fullmatch(number):
        raise ValueError(f"{number!r} is no number of a rule")

    def declare(test: Test) -> Test:
        known = FOLLOWED.get(number)
        name = f"{test.__module__}::{test.__name__}"
        if known is not None and known.test != name:
            raise ValueError(f"rule {number} is shown twice: {known.test} and {name}")
        FOLLOWED[number] = Rule(number, dialect, says, name)
        return test

    return declare


def rules() -> list[Rule]:
    """All rules in their order, those that are not followed too."""
    for section in SECTIONS:
        importlib.import_module(f"test_conformance_{section}")
    return sorted((*FOLLOWED.values(), *NOT_FOLLOWED))


def page() -> str:
    """docs/conformance.md."""
    found = rules()
    unfollowed = [each for each in found if each.reason]
    lines = [
        "# Conformance",
        "",
        "<!-- written by make conformance; do not edit -->",
        "",
        "What a Greengrass core does, rule by rule, and the test that shows that this one does so.",
        "`classic` is the classic nucleus, `lite` nucleus lite (this core with `--dialect lite`);",
        "`both` holds for either. The rules were read from the sources of the two and observed on",
        "the running lite; the words are ours.",
        "",
        f"{len(found) - len(unfollowed)} rules are followed and {len(unfollowed)} are not; those",
        "have the reason in the last column.",
    ]
    for section, title in SECTIONS.items():
        lines += ["", f"## {section} {title}", "", "| rule | dialect | | test | status |"]
        lines += ["|---|---|---|---|---|"]
        lines += [_row(each) for each in found if each.number.startswith(f"{section}.")]
    return "\n".join(lines) + "\n"


def _row(each: Rule) -> str:
    test = f"`{each.test}`" if each.test else ""
    status = f"not followed: {each.reason}" if each.reason else "followed"
    cells = (each.number, each.dialect, each.says, test, status)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    PAGE.write_text(importlib.import_module("rules").page())
