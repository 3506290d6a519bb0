"""Sockets for components of other users than the core's: each user has one of his own, 0600."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ggml_magic.core import socketpath
from ggml_magic.core.users import PASSING, Account, UserError


class Listening(Protocol):
    """A server that serves what the core's own socket serves."""

    async def start(self, path: Path) -> None:
        """Listen at a path that nobody but the owner can open."""

    async def stop(self) -> None:
        """Close everything."""


class Doors:
    """The sockets beside a core's own one, opened when the first component needs them."""

    def __init__(self, socket: Path, server: Callable[[], Listening]) -> None:
        self._socket = socket
        self._server = server
        self._open: dict[int, tuple[Path, Listening]] = {}

    async def open(self, who: Account) -> Path:
        """The socket of an account; raises ``UserError`` when there can be none."""
        if who.uid in self._open:
            return self._open[who.uid][0]
        path = self._socket.with_name(f"{self._socket.stem}-{who.uid}{self._socket.suffix}")
        if len(os.fsencode(path)) > socketpath.LONGEST:
            raise UserError(f"the socket {path} of {who.name} would have too long a name")
        server = self._server()
        await server.start(path)
        os.chown(path, who.uid, who.gid)
        path.parent.chmod(path.parent.stat().st_mode & 0o7777 | PASSING)
        self._open[who.uid] = path, server
        return path

    async def close(self) -> None:
        """Close and remove all, those of a core that was killed here too."""
        for _, server in self._open.values():
            await server.stop()
        self._open.clear()
        for path in self._socket.parent.glob(f"{self._socket.stem}-*{self._socket.suffix}"):
            path.unlink(missing_ok=True)
