"""The user that a component runs as (EDGE-CORE 5, runWith and RequiresPrivilege)."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ggml_magic.core import users
from ggml_magic.core.users import Account, UserError, account, chosen

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = pwd.getpwnam("nobody")


def who(uid: int = 4_000_000, gid: int = 4_000_000) -> Account:
    return Account(uid, gid, (gid,), "someone", "/", "/bin/sh")


def test_an_account_by_names_and_by_numbers() -> None:
    by_name = account("nobody")
    assert (by_name.uid, by_name.gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert account(str(NOBODY.pw_uid)) == by_name
    assert by_name.gid in by_name.groups
    root = grp.getgrgid(0).gr_name
    assert account(f"nobody:{root}").gid == 0
    assert account("nobody:12").gid == 12
    numbers = account("4000000:4000001")
    assert (numbers.uid, numbers.gid, numbers.groups) == (4000000, 4000001, (4000001,))


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("no-such-user", "there is no user 'no-such-user'"),
        ("nobody:no-such-group", "there is no group 'no-such-group'"),
        ("4000000", "write user:group"),
    ],
)
def test_what_is_not_there_is_told(written: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        account(written)


def test_a_user_has_an_environment_of_his_own() -> None:
    shared = {"HOME": "/root", "USER": "root", "LANG": "C", "TMPDIR": "/var/tmp", "PATH": "/bin"}
    assert who().environment(shared) == {
        "HOME": "/", "USER": "someone", "LOGNAME": "someone", "SHELL": "/bin/sh",
        "LANG": "C", "PATH": "/bin",
    }  # fmt: skip


@AS_ROOT
def test_root_follows_run_with_but_for_privileged_steps() -> None:
    warned: list[str] = []
    found = chosen("nobody", privileged=False, warn=warned.append)
    assert found is not None
    assert found.uid == NOBODY.pw_uid
    assert chosen("nobody", privileged=True, warn=warned.append) is None
    assert chosen("", privileged=False, warn=warned.append) is None
    assert chosen("root", privileged=False, warn=warned.append) is None
    assert warned == []


UNPRIVILEGED = """
import os, pwd
from ggml_magic.core.users import chosen
assert os.geteuid() != 0
own = os.geteuid()
for written, privileged in (("nobody-else", False), ("root", False), (str(own), False), ("", False),
                            ("", True), (str(own) + ":1", False)):
    said = []
    assert chosen(written, privileged=privileged, warn=said.append) is None
    print(written == str(own), privileged, len(said), *said, sep="|")
"""


def unprivileged(program: str, *arguments: str) -> str:
    """What a program says as another user than root; as root, in a user namespace."""
    command = [sys.executable, "-c", program, *arguments]
    if os.geteuid() == 0:
        probe = ["unshare", "--user", "--map-user=1000"]
        if (
            shutil.which("unshare") is None
            or subprocess.run([*probe, "true"], check=False).returncode
        ):
            pytest.skip("no user namespaces here")
        command = [*probe, *command]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.real
def test_who_is_not_root_follows_neither_and_says_so() -> None:
    lines = [line.split("|") for line in unprivileged(UNPRIVILEGED).splitlines()]
    assert [line[2] for line in lines] == ["1", "1", "0", "0", "1", "1"]
    assert lines[0][3].startswith("runWith nobody-else is not followed: this core is not root")
    assert lines[4][3].startswith("RequiresPrivilege is not followed: this core is not root")


@pytest.fixture(name="place")
def place_that_others_can_reach() -> Iterator[Path]:
    """Pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@AS_ROOT
def test_a_way_is_opened_for_passing_only(place: Path) -> None:
    root, inner = place / "root", place / "root" / "packages"
    for folder in (root, inner):
        folder.mkdir(mode=0o700)
    users.open_way((root, inner), who())
    assert [folder.stat().st_mode & 0o777 for folder in (root, inner)] == [0o711, 0o711]
    inner.chmod(0o755)
    users.open_way((root, inner), who())
    assert inner.stat().st_mode & 0o777 == 0o711
    inner.chmod(0o750)
    os.chown(inner, 0, who().gid)
    users.open_way((root, inner), who())
    assert inner.stat().st_mode & 0o777 == 0o750


@AS_ROOT
def test_what_is_closed_above_is_not_opened_but_how_it_would_be_is_said(place: Path) -> None:
    root = place / "a b" / "closed" / "root"
    root.mkdir(parents=True)
    root.parent.chmod(0o700)
    root.parent.parent.chmod(0o700)
    os.chown(root.parent, 0, who().gid)
    with pytest.raises(UserError, match=r"someone cannot pass through /tmp/.*a b to this") as told:
        users.open_way((root,), who())
    assert root.parent.stat().st_mode & 0o777 == 0o700
    remedy = str(told.value).partition("to this core: ")[2]
    outer = f"'{root.parent.parent}'"
    assert remedy == f"chmod o+x {outer} && chmod g+x '{root.parent}'"
    subprocess.run(remedy, shell=True, check=True)  # noqa: S602  # as a reader would
    users.open_way((root,), who())


def test_what_lies_beside_a_way_is_closed_to_others(tmp_path: Path) -> None:
    for name, mode in (("cores", 0o755), ("models", 0o2755), ("x.json", 0o644), ("own", 0o700)):
        path = tmp_path / "workspace" / name
        path.mkdir(parents=True) if "." not in name else path.touch()
        path.chmod(mode)
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "workspace" / "link").symlink_to(tmp_path / "elsewhere")
    users.close_beside(tmp_path / "workspace" / "cores")
    found = {path.name: path.stat().st_mode & 0o7777 for path in (tmp_path / "workspace").iterdir()}
    assert found == {
        "cores": 0o755, "models": 0o2700, "x.json": 0o600, "own": 0o700, "link": 0o755
    }  # fmt: skip


@AS_ROOT
def test_a_folder_is_given_with_all_that_is_in_it_but_not_what_a_link_names(place: Path) -> None:
    (place / "folder" / "deep").mkdir(parents=True)
    (place / "folder" / "deep" / "file").touch()
    (place / "other").touch()
    (place / "folder" / "link").symlink_to(place / "other")
    users.give(place / "folder", who(7, 8))
    users.give(place / "nothing", who(7, 8))
    for path in (place / "folder", *(place / "folder").rglob("*")):
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (7, 8), path
    assert (place / "other").stat().st_uid == 0
