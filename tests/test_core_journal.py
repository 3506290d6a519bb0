"""What a core that died within a deployment finds when it comes back."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from ggml_magic.core import journal
from ggml_magic.core.causes import BROKEN, SUCCESSFUL, Result
from ggml_magic.core.config import Tree
from ggml_magic.core.disk import Layout, write_json
from ggml_magic.core.inventory import Component, Contents, Group
from ggml_magic.core.journal import Entry, Journal, Phase
from ggml_magic.core.orders import Document, Wanted

DOCUMENT = Document("d1", "thing/pi", 5, {"a": Wanted("1.0.0")})
BEFORE = Contents()
WANTED = Contents({"thing/pi": Group({"a": "1.0.0"}, 5, "d1")})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "root")
    made.make()
    return made


def again(layout: Layout) -> Journal:
    """The journal of the next core."""
    found = Journal(layout)
    found.read()
    return found


def begun(layout: Layout) -> Journal:
    made = again(layout)
    made.begin(DOCUMENT)
    return made


def files(layout: Layout) -> list[str]:
    return sorted(path.name for path in layout.deployments.iterdir())


def test_each_step_is_found_again(layout: Layout) -> None:
    kept = begun(layout)
    assert again(layout).entry == Entry(DOCUMENT)
    kept.plan(BEFORE, WANTED)
    kept.bootstrapped("a", restarts=True)
    found = again(layout)
    assert found.entry == Entry(DOCUMENT, Phase.BOOTSTRAPPING, ("a",), restarts=True)
    assert found.contents() == (BEFORE, WANTED)
    kept.undo("why", BROKEN)
    entry = again(layout).entry
    assert entry is not None
    assert (entry.phase, entry.cause, entry.errors) == (Phase.UNDOING, "why", BROKEN)


def test_interruptions_are_counted_but_not_ends_on_purpose(layout: Layout) -> None:
    kept = begun(layout)
    for expected in (1, 2):
        kept = again(layout)
        kept.came_back()
        assert kept.entry is not None
        assert kept.entry.interruptions == expected
    kept.pause()
    kept = again(layout)
    kept.came_back()
    assert kept.entry is not None
    assert kept.entry.interruptions == 2
    kept.begin(DOCUMENT)  # handed out once more
    assert kept.entry.interruptions == 2
    kept.begin(Document("d2", "thing/pi", 6, {}))
    assert kept.entry.interruptions == 0


def test_going_back_has_its_own_count(layout: Layout) -> None:
    kept = begun(layout)
    kept.came_back()
    kept.undo("why", BROKEN)
    assert kept.entry is not None
    assert kept.entry.interruptions == 0


def test_a_result_is_kept_until_it_is_told(layout: Layout) -> None:
    kept = begun(layout)
    kept.plan(BEFORE, WANTED)
    kept.end(SUCCESSFUL)
    found = again(layout)
    assert found.entry is None
    assert found.result("d1") == SUCCESSFUL
    assert files(layout) == [journal.ENDED]
    found.told("d1")
    found.told("d1")
    assert files(layout) == []
    assert again(layout).result("d1") is None


def test_results_that_nobody_asks_for_are_few(layout: Layout) -> None:
    kept = again(layout)
    for number in range(journal.MOST_ENDED + 3):
        kept.begin(Document(f"d{number}", "thing/pi", 5, {}))
        kept.end(Result("FAILED", "x"))
    found = again(layout)
    assert found.result("d0") is None
    assert found.result("d3") is not None


def test_what_a_kill_between_two_files_leaves_is_removed(layout: Layout) -> None:
    kept = begun(layout)
    kept.plan(BEFORE, WANTED)
    (layout.deployments / journal.ONGOING).unlink()
    assert again(layout).entry is None
    assert files(layout) == []


@pytest.mark.parametrize("name", [journal.ONGOING, journal.BEFORE, journal.WANTED])
@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_journal_that_a_power_cut_spoiled_does_not_keep_a_core_from_starting(
    layout: Layout, name: str, content: str
) -> None:
    begun(layout).plan(BEFORE, WANTED)
    (layout.deployments / name).write_text(content)
    (layout.deployments / journal.ENDED).write_text(content)
    found = again(layout)
    assert found.entry is None
    assert found.result("d1") is None
    assert set(files(layout)) <= {journal.ENDED}


def components(**values: object) -> Contents:
    tree = Tree()
    for number, (key, value) in enumerate(values.items()):
        tree.merge((), {key: value}, number)
    return Contents({}, {"a": Component("1.0.0", {}, (), tree)})


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_core_that_dies_while_it_catches_up_is_caught_up_by_the_next(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    kept, left = begun(layout), writes
    kept.plan(components(x=1), components(x=1, planned=1))

    def dies(path: Path, value: object) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        write_json(path, value)

    held = components(x=1, own=1)
    monkeypatch.setattr(journal, "write_json", dies)
    with contextlib.suppress(KeyboardInterrupt):
        kept.catch_up(held)
    monkeypatch.undo()
    found = again(layout)
    held = components(x=1, own=1, more=1)  # it goes on to write until then
    found.catch_up(held)
    before, wanted = (each.components["a"].configuration for each in again(layout).contents())
    assert before.read(()) == {"x": 1, "own": 1, "more": 1}
    assert wanted.read(()) == {"x": 1, "planned": 1, "own": 1, "more": 1}


def test_nothing_is_written_where_there_is_nothing_to_catch_up(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = begun(layout)
    kept.plan(components(x=1), components(x=1, planned=1))
    monkeypatch.delattr(journal, "write_json")
    kept.catch_up(components(x=1))
