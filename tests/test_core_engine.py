"""A device's components, and how one set becomes another (EDGE-CORE 5, reinstall and restart)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.core import recipe
from ggml_magic.core.disk import Layout
from ggml_magic.core.engine import Engine
from ggml_magic.core.lifecycle import Service, State

pytestmark = pytest.mark.real

SOON = 20.0
STAYS = "exec sleep 600"


def service(name: str, version: str = "1.0.0", *hard: str, **steps: Any) -> Service:
    steps = {"Install": "echo >> installed", "Run": f"echo >> ran; {STAYS}", **steps}
    return Service(name, version, recipe.lifecycle(steps), hard)


class Scene:
    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.make()
        self.heard: list[tuple[str, str]] = []
        self.engine = Engine(self.layout, {"PATH": os.environ["PATH"]}, self._state)

    def _state(self, name: str) -> None:
        self.heard.append((name, self.engine.supervisors[name].state.value))

    async def become(self, *services: Service) -> None:
        await self.engine.become({each.name: each for each in services})
        names = [each.name for each in services]
        assert await asyncio.wait_for(self.engine.settled(names), SOON) is None

    async def counts(self, name: str, installed: int, ran: int) -> None:
        """How often its scripts ran, waited for: a run has begun before it has written."""
        for _ in range(2000):
            found = [self._lines(name, file) for file in ("installed", "ran")]
            if found == [installed, ran]:
                return
            await asyncio.sleep(0.005)
        raise AssertionError(found)

    def _lines(self, name: str, file: str) -> int:
        path = self.layout.work(name) / file
        return len(path.read_text().splitlines()) if path.exists() else 0


def play(tmp_path: Path, scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        made = Scene(tmp_path / "root")
        try:
            await scene(made)
        finally:
            await made.engine.stop(2)

    asyncio.run(run())


def test_what_did_not_change_goes_on(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("a"), service("b"))
        await at.counts("a", 1, 1)
        before = at.engine.supervisors["a"]
        await at.become(service("a"), service("b", "1.0.1"))
        await at.counts("b", 2, 2)
        await at.counts("a", 1, 1)
        assert at.engine.supervisors["a"] is before

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("after", "installed"),
    [
        (service("a", "1.0.1"), 2),
        (service("a", Install="echo >> installed #"), 2),
        (service("a", Run=f"echo >> ran; {STAYS} #"), 1),
        (service("a", Setenv={"NEW": "1"}), 1),
        (Service("a", "1.0.0", service("a").lifecycle, (), "user"), 2),
    ],
    ids=["version", "install script", "run script", "setenv", "runWith"],
)
def test_what_changed_starts_or_is_installed_again(
    tmp_path: Path, after: Service, installed: int
) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("a"))
        await at.counts("a", 1, 1)
        token = at.engine.supervisors["a"].token
        await at.become(after)
        await at.counts("a", installed, 2)
        assert at.engine.supervisors["a"].token == token

    play(tmp_path, scene)


def test_a_broken_one_is_installed_again_and_told_of(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        broken = service("a", Install="test -e fixed")
        await at.engine.become({"a": broken})
        found = await asyncio.wait_for(at.engine.settled(["a"]), SOON)
        assert found is not None
        assert found.state is State.BROKEN
        (at.layout.work("a") / "fixed").touch()
        await at.become(broken)
        assert at.heard[-1] == ("a", "RUNNING")

    play(tmp_path, scene)


def test_dependents_start_after_and_stop_before_what_they_need(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("needs", "1.0.0", "dep"), service("dep"))
        order = [name for name, state in at.heard if state == "RUNNING"]
        assert order == ["dep", "needs"]
        at.heard.clear()
        await at.engine.stop(5)
        assert at.heard == [("needs", "STOPPING"), ("dep", "STOPPING")]

    play(tmp_path, scene)


def test_dropping_ends_and_forgets(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("a"), service("b"))
        token = at.engine.supervisors["a"].token
        assert at.engine.component_of(token) == "a"
        await at.engine.drop(["a", "unknown"])
        assert set(at.engine.supervisors) == {"b"}
        assert at.engine.component_of(token) is None
        assert at.engine.state_of("a") is None

    play(tmp_path, scene)


def test_logs_are_a_components_own(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.become(service("a", Install="echo out; echo err >&2"))
        text = at.layout.log("a").read_text()
        assert "[INFO] install: out" in text
        assert "[WARN] install: err" in text
        assert "[INFO] state: RUNNING" in text

    play(tmp_path, scene)
