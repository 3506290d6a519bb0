"""Bootstrap steps within a deployment, with real processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from deploying import SOON, STAYS, SUCCESSFUL, Scene, play

pytestmark = pytest.mark.real


def booting(script: str, **steps: str) -> dict[str, str]:
    return {"Bootstrap": script, **steps, **STAYS}


def said(at: Scene, name: str = "a") -> list[str]:
    file = at.layout.work(name) / "said"
    return file.read_text().split() if file.exists() else []


async def restarted(at: Scene, text: str) -> None:
    """Deploy until the core is asked to start again, and do that."""
    wanted = len(at.restarts) + 1
    task = asyncio.create_task(at.deployer.deploy(text))
    while len(at.restarts) < wanted:
        assert not task.done()
        await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.wait([task])
    await at.reborn()


def test_it_runs_for_a_new_component_a_new_version_and_a_new_step(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", booting("echo {configuration:/x} >> said"), defaults={"x": 1})
        at.cloud.add("a", "1.1.0", booting("echo 1.1 >> said"))
        assert await at.deploy({"a": "1.0.0"}) == SUCCESSFUL
        assert said(at) == ["1"]
        assert await at.deploy({"a": "1.0.0"}) == SUCCESSFUL
        assert said(at) == ["1"]
        update = {"configurationUpdate": {"merge": {"x": 2}}}
        await at.deploy({"a": {"version": "1.0.0", **update}})
        assert said(at) == ["1", "2"]
        await at.deploy({"a": "1.1.0"})
        assert said(at) == ["1", "2", "1.1"]
        assert at.restarts == []

    play(tmp_path, scene)


def test_dependencies_come_first_and_all_before_anything_is_installed(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        log = "{kernel:rootPath}/order"
        at.cloud.add(
            "a", "1.0.0", booting(f"echo a >> {log}", Install=f"echo A >> {log}"),
            needs={"b": "1.0.0"},
        )  # fmt: skip
        at.cloud.add("b", "1.0.0", booting(f"echo b >> {log}", Install=f"echo B >> {log}"))
        assert await at.deploy({"a": "1.0.0"}) == SUCCESSFUL
        order = (at.layout.root / "order").read_text().split()
        assert order[:2] == ["b", "a"]
        assert sorted(order[2:]) == ["A", "B"]

    play(tmp_path, scene)


@pytest.mark.parametrize("code", [100, 101])
def test_the_core_starts_again_and_goes_on_with_the_rest(tmp_path: Path, code: int) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", booting(f"echo a >> said; exit {code}"), needs={"b": "1.0.0"})
        at.cloud.add("b", "1.0.0", booting("echo b >> said"))
        text = at.document({"a": "1.0.0"})
        await restarted(at, text)
        # all bootstrap steps are done: what is wanted is started at once, before anyone asks
        assert at.held.contents.roots == {"a"}
        assert await asyncio.wait_for(at.deployer.deploy(text), SOON) == SUCCESSFUL
        assert (said(at), said(at, "b")) == (["a"], ["b"])
        assert at.running() == {"a": "1.0.0 RUNNING", "b": "1.0.0 RUNNING"}
        at.deployer.told("d1")

    play(tmp_path, scene)


def test_each_of_several_may_ask_for_a_start_of_its_own(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        for name in "ab":
            at.cloud.add(name, "1.0.0", booting("echo x >> said; exit 100"))
        text = at.document({"a": "1.0.0", "b": "1.0.0"})
        await restarted(at, text)
        assert at.held.contents.roots == set()
        await restarted(at, text)
        assert await asyncio.wait_for(at.deployer.deploy(text), SOON) == SUCCESSFUL
        assert (said(at), said(at, "b")) == (["x"], ["x"])
        at.deployer.told("d1")

    play(tmp_path, scene)


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.cloud.add("a", "1.0.0", STAYS)
        at.cloud.add("a", "1.1.0", booting("echo 'no driver' >&2; exit 7"))
        await at.deploy({"a": "1.0.0"})
        before, supervisors = at.held.contents.dump(), dict(at.engine.supervisors)
        result = await at.deploy({"a": "1.1.0"})
        assert result.detail == "FAILED_ROLLBACK_COMPLETE"
        assert result.cause == "a 1.1.0: bootstrap failed with exit code 7: no driver"
        assert result.errors[-1] == "COMPONENT_BOOTSTRAP_ERROR"
        assert at.held.contents.dump() == before
        assert at.engine.supervisors == supervisors
        result = await at.deploy({"a": "1.1.0"}, failureHandlingPolicy="DO_NOTHING")
        assert result.detail == "FAILED_ROLLBACK_NOT_REQUESTED"
        assert at.running() == {"a": "1.0.0 RUNNING"}

    play(tmp_path, scene)


def test_it_may_not_take_for_ever(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        slow = {"Bootstrap": {"Script": "exec sleep 600", "Timeout": 0.1}, **STAYS}
        at.cloud.add("a", "1.0.0", slow)
        result = await at.deploy({"a": "1.0.0"})
        assert result.cause == "a 1.0.0: bootstrap took longer than 0.1 s"
        assert result.errors[-1] == "COMPONENT_BOOTSTRAP_TIMEOUT"

    play(tmp_path, scene)
