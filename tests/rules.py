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
NOT_FOLLOWED: tuple[Rule, ...] = (
    Rule("1.46", "classic", "On Windows a device's os is windows.",
         reason="the core needs Unix sockets and process groups, so it never runs there"),
    Rule("2.23", "lite", "A dependent runs only while the unit of its HARD dependency is active.",
         reason="no systemd is here: both dialects wait for dependencies as classic does"),
    Rule("2.24", "lite", "A dependent is started after its SOFT dependency.",
         reason="no systemd is here: it starts at once, as on classic"),
    Rule("3.04", "lite", "The IPC socket is called gg-ipc.socket.",
         reason="a component is told the path, so both dialects use classic's name"),
    Rule("3.05", "classic", "A recipe's file is called by a hash of its component's name.",
         reason="both dialects use lite's plain names, which a person can read"),
    Rule("3.09", "both", "docker: names an image, which is pulled.",
         reason="the core runs no containers and says so"),
    Rule("3.36", "both", "In a folder that is not complete, only missing files are unpacked.",
         reason="all of it is unpacked anew, so that a half-written file never stays"),
    Rule("4.27", "lite", "A script is cut before the placeholder of another component, and run.",
         reason="such a recipe is refused with the reason before anything is run"),
    Rule("5.02", "classic", "It may be STATELESS, and at its end UNINSTALLING and UNINSTALLED.",
         reason="nothing here is STATELESS; the other two stand in the component's log only"),
    Rule("5.27", "lite", "Between two starts lies a second.",
         reason="both dialects start again at once, as classic does"),
    Rule("5.31", "classic", "With 101 the device itself starts again.",
         reason="it is somebody's workplace: only the core starts again"),
    Rule("5.45", "classic", "Where neither names a user, such a step is an error.",
         reason="it runs as the core's own user: nobody needs to make users to try a component"),
    Rule("5.59", "classic", "AWS_CONTAINER_CREDENTIALS_FULL_URI is where credentials are served.",
         reason="no component may find the credentials of the person at this machine"),
    Rule("7.06", "both", "systemResourceLimits bounds a component's processors and memory.",
         reason="the core makes no control groups, and says so in the component's log"),
    Rule("7.37", "lite", "Each component has 300 s to report.",
         reason="in both dialects it has the time of its own steps, as on classic"),
    Rule("7.40", "lite", "A new version that breaks stays, whatever the policy.",
         reason="both dialects go back where the policy is ROLLBACK"),
    Rule("8.59", "both", "The id of a policy is there once on a device.",
         reason="but once for a service: two with one id are loaded if they are of two services"),
    Rule("8.61", "classic", "Who has a policy of ipc.lifecycle can pause and resume a component.",
         reason="that is not served: the core makes no control groups to freeze"),
    Rule("8.62", "classic", "Who has one of clientdevices.Auth can ask about client devices.",
         reason="that is not served: only components can connect to the core"),
)  # fmt: skip


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
