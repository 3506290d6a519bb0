"""The steps of one life of a component (EDGE-CORE 5)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.core import recipe
from ggml_magic.core.logs import Log, last_lines
from ggml_magic.core.processes import Mark, life_mark
from ggml_magic.core.pulse import Pulse
from ggml_magic.core.service import Service, State, StepError
from ggml_magic.core.steps import COMPLAINT_CHARACTERS, Steps
from ggml_magic.core.users import Account, UserError

pytestmark = pytest.mark.real

SOON = 20.0


class Around:
    """A core of one component; ``refused`` is why there is no account for it."""

    def __init__(self, folder: Path) -> None:
        self.pulse = Pulse()
        self.folder = folder
        self.refused = ""
        self.asked: list[bool] = []
        self.journal = Log(folder / "a.log")

    def support_of(self, component: str) -> object | None:
        return None

    def mark(self) -> Mark:
        return life_mark(f"{os.getpid():016x}", 1)

    def environment(self, component: str) -> Mapping[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "BOTH": "shared"}

    def work_folder(self, component: str) -> Path:
        return self.folder

    def account(self, service: Service, *, privileged: bool) -> Account | None:
        self.asked.append(privileged)
        if self.refused:
            raise UserError(self.refused)
        return None

    async def admit(self, service: Service, who: Account) -> Mapping[str, str]:
        raise NotImplementedError

    def log(self, component: str) -> Log:
        return self.journal

    def state_changed(self, component: str) -> None:
        raise NotImplementedError


def play(
    folder: Path, written: dict[str, Any], scene: Callable[[Steps, Around], Awaitable[None]]
) -> None:
    async def run() -> None:
        around = Around(folder)
        steps = Steps(Service("a", "1.2.3", recipe.lifecycle(written)), around, "token")
        try:
            await asyncio.wait_for(scene(steps, around), SOON)
        finally:
            await steps.end(0.1)
            around.journal.close()

    asyncio.run(run())


def test_there_may_be_nothing_to_do(tmp_path: Path) -> None:
    async def scene(steps: Steps, around: Around) -> None:
        assert await steps.complete("install") is None
        assert await steps.launch("run") is None
        assert last_lines(around.journal.path, 2)[-1].endswith("run is skipped: exists ~/a.log")

    around_log = {"Script": "exit 1", "Skipif": "exists ~/a.log"}
    (tmp_path / "a.log").touch()
    play(tmp_path, {"Run": around_log}, scene)


def test_what_a_script_writes_is_told_with_step_and_stream(tmp_path: Path) -> None:
    async def scene(steps: Steps, around: Around) -> None:
        await steps.complete("install")
        found = [line.partition(" ")[2] for line in last_lines(around.journal.path, 9)]
        assert sorted(found) == ["[INFO] install: out", "[WARN] install: err"]

    play(tmp_path, {"Install": "echo out; echo err >&2"}, scene)


def test_a_failure_has_its_code_and_the_last_words_but_not_too_many(tmp_path: Path) -> None:
    async def scene(steps: Steps, around: Around) -> None:
        with pytest.raises(StepError) as failed:
            await steps.complete("install")
        assert failed.value.code == "INSTALL_ERROR"
        said = "a 1.2.3: install failed with exit code 4: "
        assert str(failed.value) == said + "x" * COMPLAINT_CHARACTERS
        process = await steps.finish("startup")
        assert process is not None
        assert process.code == 5

    long = "head -c 2000 /dev/zero | tr '\\0' x >&2; exit 4"
    play(tmp_path, {"Install": long, "Startup": "exit 5"}, scene)


def test_the_shorter_of_two_limits_counts(tmp_path: Path) -> None:
    async def scene(steps: Steps, around: Around) -> None:
        for limit, told in ((None, "0.1 s"), (0.05, "0.05 s"), (9.0, "0.1 s")):
            with pytest.raises(StepError, match=f"startup took longer than {told}") as failed:
                await steps.complete("startup", limit=limit)
            assert failed.value.code == "STARTUP_TIMEOUT"

    play(tmp_path, {"Startup": {"Script": "sleep 600", "Timeout": "0.1"}}, scene)


def test_it_may_be_enough_before_the_end_or_be_said_to_have_failed(tmp_path: Path) -> None:
    async def scene(steps: Steps, around: Around) -> None:
        process = await steps.complete("startup", lambda: True)
        assert process is not None
        assert process.code is None
        steps.said = State.ERRORED
        with pytest.raises(StepError, match="it reported ERRORED in startup"):
            await steps.complete("startup")

    play(tmp_path, {"Startup": "exec sleep 600"}, scene)


def test_a_user_that_cannot_be_is_not_valid(tmp_path: Path) -> None:
    async def scene(steps: Steps, around: Around) -> None:
        around.refused = "no such user"
        with pytest.raises(StepError, match=r"a 1\.2\.3: run cannot start: no such user") as failed:
            await steps.launch("run")
        assert failed.value.code == "RUN_CONFIG_NOT_VALID"
        assert around.asked == [True]

    play(tmp_path, {"Run": {"Script": "true", "RequiresPrivilege": True}}, scene)


def test_a_folder_that_is_gone_is_an_io_error(tmp_path: Path) -> None:
    async def scene(steps: Steps, around: Around) -> None:
        around.folder = tmp_path / "gone"
        with pytest.raises(StepError, match="No such file") as failed:
            await steps.launch("run")
        assert failed.value.code == "RUN_IO_ERROR"

    play(tmp_path, {"Run": "true"}, scene)


def test_a_step_sets_over_its_lifecycle_and_that_over_all(tmp_path: Path) -> None:
    async def scene(steps: Steps, around: Around) -> None:
        await steps.complete("uninstall")
        text = (tmp_path / "env").read_text()
        found = dict(line.split("=", 1) for line in text.splitlines())
        assert (found["BOTH"], found["TWO"], found["THREE"]) == ("wide", "step", "wide")
        assert found["GREENGRASS_COMPONENT_VERSION"] == "1.2.3"
        assert found["SVCUID"] == found["AWS_CONTAINER_AUTHORIZATION_TOKEN"] == "token"

    step = {"Script": "env > env", "Setenv": {"TWO": "step"}}
    wide = {"BOTH": "wide", "TWO": "wide", "THREE": "wide"}
    play(tmp_path, {"Setenv": wide, "Uninstall": step}, scene)
