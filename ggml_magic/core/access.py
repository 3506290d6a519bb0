"""Who may give a core orders from a terminal (EDGE-CORE 8, CLI).

The core writes a token of its own for the user that it runs as. It is new at each start, so that
one which was copied is worth nothing later.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ggml_magic.core.disk import PRIVATE_FOLDER, read_json, write_json

# The principal of whoever shows the token: the component that serves the terminal on a real core.
PRINCIPAL = "aws.greengrass.Cli"
FOLDER = "cli_ipc_info"
TOKEN, SOCKET = "cli_auth_token", "domain_socket_path"
TOKEN_BYTES = 16


@dataclass(frozen=True)
class Access:
    """Where a core listens, and the token that it knows the terminal by."""

    token: str
    socket: Path

    def principal(self, component_of: Callable[[str], str | None]) -> Callable[[str], str | None]:
        """Whose a token is: the terminal's, or that of a component as ``component_of`` says."""

        def whose(token: str) -> str | None:
            if hmac.compare_digest(token.encode(), self.token.encode()):
                return PRINCIPAL
            return component_of(token)

        return whose


def new(socket: Path) -> Access:
    """Access with a token that nobody has seen."""
    return Access(secrets.token_hex(TOKEN_BYTES), socket)


def grant(root: Path, access: Access) -> None:
    """Let this user's terminals find the core: a file that nobody else can read."""
    folder = root / FOLDER
    folder.mkdir(exist_ok=True, mode=PRIVATE_FOLDER)
    folder.chmod(PRIVATE_FOLDER)
    revoke(root)
    write_json(_file(root), {TOKEN: access.token, SOCKET: str(access.socket)})


def revoke(root: Path) -> None:
    """Forget every token that was given out."""
    with contextlib.suppress(OSError):
        for file in (root / FOLDER).iterdir():
            file.unlink()


def read(root: Path) -> Access | None:
    """The access that a core gave this user; ``None`` when it gave none."""
    try:
        found = read_json(_file(root))
        return Access(str(found[TOKEN]), Path(found[SOCKET]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _file(root: Path) -> Path:
    return root / FOLDER / f"{os.getuid()}.json"
