"""The user that a component runs as (EDGE-CORE 5: runWith, RequiresPrivilege).

Only a core of root can follow ``runWith``; any other says once that it does not, and runs all as
its own user. A core of root opens to such a user what he needs and no more: folders on the way
can be passed through, not listed; the component's work folder and artifacts become his; and he
gets an IPC socket of his own beside the core's (``doors``). So each socket stays 0600, where
group bits or an access list on one socket would have let others reach it.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = 0
# Passing through a folder without listing it.
PASSING = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
# What others may do with a folder beside passing through, and at all.
LISTING = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
OTHERS = stat.S_IRWXG | stat.S_IRWXO
# Folders of the core's own user are of no use to another one.
OWN_FOLDERS = ("TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


class UserError(Exception):
    """A user that a component cannot run as; the text says why."""


@dataclass(frozen=True)
class Account:
    """A user of this machine: numbers, and what his programs want to know of him."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str
    shell: str

    def environment(self, core: Mapping[str, str]) -> dict[str, str]:
        """The core's shared variables as this user has them."""
        kept = {name: value for name, value in core.items() if name not in OWN_FOLDERS}
        own = {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}
        return {**kept, **own}


def account(written: str) -> Account:
    """The account of ``user[:group]``, names or numbers; raises ``UserError``."""
    user, _, group = written.partition(":")
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        entry = None
    if entry is None and not user.isdigit():
        raise UserError(f"there is no user {user!r} on this machine")
    if entry is None and not group:
        raise UserError(f"user {user} has no primary group here: write user:group")
    gid = _group(group) if group else entry.pw_gid if entry else ROOT
    if entry is None:
        return Account(int(user), gid, (gid,), user, "/", "/bin/sh")
    groups = tuple(os.getgrouplist(entry.pw_name, gid))
    home, shell = entry.pw_dir, entry.pw_shell
    return Account(entry.pw_uid, gid, groups, entry.pw_name, home, shell)


def _group(written: str) -> int:
    if written.isdigit():
        return int(written)
    try:
        return grp.getgrnam(written).gr_gid
    except KeyError:
        raise UserError(f"there is no group {written!r} on this machine") from None


def chosen(written: str, *, privileged: bool, warn: Callable[[str], None]) -> Account | None:
    """Whom a step runs as; ``None`` for the core's own user.

    ``warn`` hears what a core that is not root does not follow. Raises ``UserError``.
    """
    if os.geteuid() == ROOT:
        found = account(written) if written and not privileged else None
        return found if found and (found.uid, found.gid) != (ROOT, ROOT) else None
    if privileged:
        warn("RequiresPrivilege is not followed: this core is not root, all runs as its own user")
    elif written:
        user, _, group = written.partition(":")
        if user not in _own_names() or (group and group not in (*_own_groups(),)):
            warn(f"runWith {written} is not followed: this core is not root, all runs as its user")
    return None


def _own_names() -> tuple[str, ...]:
    uid = os.geteuid()
    try:
        return str(uid), pwd.getpwuid(uid).pw_name
    except KeyError:
        return (str(uid),)


def _own_groups() -> tuple[str, ...]:
    gid = os.getegid()
    try:
        return str(gid), grp.getgrgid(gid).gr_name
    except KeyError:
        return (str(gid),)


def open_way(way: tuple[Path, ...], who: Account) -> None:
    """Let an account pass through these folders, of which the first holds all others.

    They can be passed through afterwards, not listed. Raises ``UserError`` with the remedy where
    the account cannot even reach the first: what is above is not the core's.
    """
    closed = [folder for folder in reversed(way[0].parents) if not _passes(folder.stat(), who)]
    if closed:
        remedy = " && ".join(_opening(each, who) for each in closed)
        raise UserError(f"{who.name} cannot pass through {closed[0]} to this core: {remedy}")
    for folder in way:
        found = folder.stat()
        if _kind(found, who) == "o" or not _passes(found, who):
            mode = stat.S_IMODE(found.st_mode)
            folder.chmod(mode & ~LISTING | PASSING)


def _opening(folder: Path, who: Account) -> str:
    """The command by which its owner lets an account pass through a folder."""
    return f"chmod {_kind(folder.stat(), who)}+x {shlex.quote(str(folder))}"


def _passes(found: os.stat_result, who: Account) -> bool:
    """Whether an account may pass through a folder, by its mode (access lists are not read)."""
    bits = {"u": stat.S_IXUSR, "g": stat.S_IXGRP, "o": stat.S_IXOTH}
    return bool(found.st_mode & bits[_kind(found, who)])


def _kind(found: os.stat_result, who: Account) -> str:
    """Which of a folder's bits count for an account, as chmod calls them."""
    if found.st_uid == who.uid:
        return "u"
    return "g" if found.st_gid in (who.gid, *who.groups) else "o"


def close_beside(path: Path) -> None:
    """Take from others what lies beside a folder, before they may pass through what holds it."""
    for beside in path.parent.iterdir():
        # what is removed meanwhile needs no mode, and a link has none of its own
        with contextlib.suppress(FileNotFoundError):
            mode = beside.lstat().st_mode
            if beside != path and mode & OTHERS and not stat.S_ISLNK(mode):
                beside.chmod(stat.S_IMODE(mode) & ~OTHERS)


def give(folder: Path, who: Account) -> None:
    """Make a folder with all that is in it an account's own; a link itself, not its target."""
    if not folder.is_dir():
        return
    _own(folder, who)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            _own(Path(place) / name, who)


def _own(path: Path, who: Account) -> None:
    # what a component removes meanwhile needs no owner
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if (found.st_uid, found.st_gid) != (who.uid, who.gid):
            os.chown(path, who.uid, who.gid, follow_symlinks=False)
