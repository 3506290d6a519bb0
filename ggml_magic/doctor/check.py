"""What the doctor looked at, and what was seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ggml_magic.presentation import Card, Presented

STATES = {True: "ok", False: "missing", None: "not checked"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; ``mend`` is the exact command where it is missing.

    ``ok`` is None for what could not be looked at, or need not be.
    """

    name: str
    ok: bool | None
    saw: str
    mend: str = ""

    @property
    def state(self) -> str:
        """``ok``, ``missing`` or ``not checked``."""
        return STATES[self.ok]


@dataclass(frozen=True)
class Diagnosis(Presented):
    """All that was looked at."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is missing."""
        return not any(check.ok is False for check in self.checks)

    def card(self) -> Card:
        """A table of every check, complete without colour."""
        missing = sum(check.ok is False for check in self.checks)
        what = f"{missing} of {len(self.checks)} missing" if missing else "nothing is missing"
        rows = tuple((one.name, one.state, one.saw, one.mend) for one in self.checks)
        columns = ("what", "state", "seen", "to mend it")
        return Card(f"Doctor: {what}", columns=columns, rows=rows)

    def to_dict(self) -> dict[str, Any]:
        """The checks as JSON-ready values."""
        checks = [{**asdict(check), "state": check.state} for check in self.checks]
        return {"ok": self.ok, "checks": checks}
