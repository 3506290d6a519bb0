"""Who may give a core orders from a terminal."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from ggml_magic.core import access


def test_a_terminal_of_this_user_finds_the_core_and_nobody_else_can(tmp_path: Path) -> None:
    assert access.read(tmp_path) is None
    granted = access.new(tmp_path / "ipc.socket")
    access.grant(tmp_path, granted)
    assert access.read(tmp_path) == granted
    file = tmp_path / "cli_ipc_info" / f"{os.getuid()}.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert json.loads(file.read_text()) == {
        "cli_auth_token": granted.token,
        "domain_socket_path": str(tmp_path / "ipc.socket"),
    }


def test_each_start_has_a_token_of_its_own_and_an_end_takes_it_back(tmp_path: Path) -> None:
    first, second = (access.new(tmp_path / "ipc.socket") for _ in range(2))
    assert first.token != second.token
    assert len(first.token) == 2 * access.TOKEN_BYTES
    folder = tmp_path / "cli_ipc_info"
    folder.mkdir(mode=0o755)
    (folder / "someone.json").write_text("of a core before")
    access.grant(tmp_path, second)
    assert [path.name for path in folder.iterdir()] == [f"{os.getuid()}.json"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    access.revoke(tmp_path)
    assert access.read(tmp_path) is None
    access.revoke(tmp_path / "nowhere")


def test_the_token_is_the_terminal_s_and_all_others_the_components(tmp_path: Path) -> None:
    granted = access.new(tmp_path)
    whose = granted.principal({"t": "com.example.A"}.get)
    assert whose(granted.token) == access.PRINCIPAL
    assert whose("t") == "com.example.A"
    assert whose(granted.token[:-1]) is None
    assert whose("größer") is None


def test_what_is_no_access_is_none(tmp_path: Path) -> None:
    file = tmp_path / "cli_ipc_info" / f"{os.getuid()}.json"
    file.parent.mkdir()
    for text in ("", "[]", "{}", '{"cli_auth_token": "t"}', "null"):
        file.write_text(text)
        assert access.read(tmp_path) is None
