"""Sockets for components of other users, and such components (EDGE-CORE 5 and 8)."""

from __future__ import annotations

import asyncio
import os
import pwd
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from ggml_magic.core import recipe, socketpath
from ggml_magic.core.disk import Layout
from ggml_magic.core.doors import Doors
from ggml_magic.core.engine import Engine
from ggml_magic.core.environment import SOCKET, SOCKET_CLASSIC
from ggml_magic.core.ipc import Server, Serving
from ggml_magic.core.lifecycle import Service, State
from ggml_magic.core.logs import Log, last_lines
from ggml_magic.core.users import Account, UserError, account

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

SOON = 20.0
NOBODY = pwd.getpwnam("nobody")
NAME = "com.example.A"
# Connects as the SDK does, with what is in its environment; says what it could do.
GREETS = (
    "import os, socket\n"
    f"paths = os.environ['{SOCKET}'], os.environ['{SOCKET_CLASSIC}']\n"
    "assert paths[0] == paths[1]\n"
    "link = socket.socket(socket.AF_UNIX)\n"
    "link.connect(paths[0])\n"
    "link.sendall(b'no frame' * 8)\n"
    "print('answered', len(link.recv(99)) > 0, flush=True)\n"
    "try: socket.socket(socket.AF_UNIX).connect(os.path.dirname(paths[0]) + '/ipc.socket')\n"
    "except PermissionError: print('closed to me', flush=True)\n"
    "try: os.listdir(os.path.dirname(paths[0]))\n"
    "except PermissionError: print('not listed', flush=True)\n"
    "print('home', os.environ['HOME'], flush=True)\n"
)


class Scene:
    """An engine whose folder others can reach, with doors."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.make()
        self.log = Log(root / "core.log")
        self.socket = socketpath.place(root)
        self.server = Server(Serving({}, lambda token: None, self.log))
        self.doors = Doors(self.socket, lambda: Server(self.server.serving))
        shared = {"PATH": "/usr/bin:/bin", "HOME": "/root", SOCKET: str(self.socket)}
        self.engine = Engine(self.layout, shared, lambda name: None, self.log.warn, self.doors)

    async def run(self, service: Service, *states: State) -> None:
        await self.engine.become({service.name: service})
        assert await self.engine.pulse.until(
            lambda: self.engine.state_of(service.name) in states, SOON
        )

    def said(self) -> list[str]:
        lines = last_lines(self.layout.log(NAME), 99)
        return [line.partition("run: ")[2] for line in lines if "run: " in line]


@pytest.fixture(name="root")
def root_that_others_can_reach() -> Iterator[Path]:
    """Pytest's own folders are closed to others; the core's root is closed at first."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made) / "root"


def play(root: Path, scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        made = Scene(root)
        await made.server.start(made.socket)
        try:
            await scene(made)
        finally:
            await made.engine.stop(2)
            await made.server.stop()
            made.log.close()

    asyncio.run(run())


def test_a_component_of_another_user_has_all_that_it_needs_and_no_more(root: Path) -> None:
    async def scene(at: Scene) -> None:
        files = at.layout.artifacts / NAME / "1.0.0"
        files.mkdir(parents=True)
        (files / "hello.txt").write_text("hello")
        (files / "hello.txt").chmod(0o440)
        (files / "greets.py").write_text(GREETS)
        run = (
            f"cat {files}/hello.txt; echo; id -u; /usr/bin/env python3 {files}/greets.py; pwd >own"
        )
        written = {
            "Install": {"Script": "id -u > ../privileged", "RequiresPrivilege": "true"},
            "Run": run,
        }
        await at.run(
            Service(NAME, "1.0.0", recipe.lifecycle(written), (), "nobody"), State.FINISHED
        )
        assert at.said() == [
            "hello", str(NOBODY.pw_uid), "answered True", "closed to me", "not listed",
            f"home {NOBODY.pw_dir}",
        ]  # fmt: skip
        assert (root / "work" / "privileged").read_text() == "0\n"
        assert (at.layout.work(NAME) / "own").stat().st_uid == NOBODY.pw_uid
        door = at.socket.with_name(f"ipc-{NOBODY.pw_uid}.socket")
        modes = [(path.stat().st_mode & 0o777, path.stat().st_uid) for path in (at.socket, door)]
        assert modes == [(0o600, 0), (0o600, NOBODY.pw_uid)]
        assert at.layout.log(NAME).stat().st_mode & 0o077 == 0
        await at.engine.stop(1)
        assert not door.exists()

    play(root, scene)


def test_processes_of_another_user_are_ended_too(root: Path) -> None:
    async def scene(at: Scene) -> None:
        run = "env -i setsid sleep 600 & echo $! > pid; exec sleep 600"
        service = Service(NAME, "1.0.0", recipe.lifecycle({"Run": run}), (), "nobody")
        await at.run(service, State.RUNNING)
        file = at.layout.work(NAME) / "pid"
        while not file.exists() or not file.read_text():
            await asyncio.sleep(0.005)
        pid = int(file.read_text())
        assert Path(f"/proc/{pid}").stat().st_uid == NOBODY.pw_uid
        await at.engine.drop([NAME])
        assert not Path(f"/proc/{pid}/exe").exists()

    play(root, scene)


@pytest.mark.parametrize(
    ("user", "why"),
    [("no-such-user", "there is no user"), ("nobody", "cannot pass through")],
)
def test_a_user_that_cannot_be_is_an_error_that_says_why(root: Path, user: str, why: str) -> None:
    async def scene(at: Scene) -> None:
        root.parent.chmod(0o700)
        service = Service(NAME, "1.0.0", recipe.lifecycle({"Run": "true"}), (), user)
        await at.run(service, State.BROKEN)
        broken = at.engine.supervisors[NAME]
        assert broken.codes == ("RUN_CONFIG_NOT_VALID",)
        assert why in broken.reason

    play(root, scene)


def test_one_door_a_user(root: Path) -> None:
    async def scene(at: Scene) -> None:
        nobody = account("nobody")
        assert await at.doors.open(nobody) == await at.doors.open(nobody)
        left = at.socket.with_name("ipc-12.socket")
        left.touch()
        await at.doors.close()
        assert not left.exists()
        deep = Doors(root / ("x" * 107) / "ipc.socket", lambda: at.server)
        with pytest.raises(UserError, match="too long a name"):
            await deep.open(Account(1, 1, (1,), "someone", "/", "/bin/sh"))

    play(root, scene)
