from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from ggml_magic.sandbox import endpoint as ep
from ggml_magic.workspace import Workspace


def test_what_is_written_is_read_and_only_by_the_owner(tmp_path: Path) -> None:
    places = ep.places(Workspace(tmp_path / ".ggml"))
    endpoint = ep.Endpoint("http://127.0.0.1:4567", 12, 3.5, "abc", "mqtt://127.0.0.1:4568")
    ep.write(places.endpoint, endpoint)
    assert ep.read(places.endpoint) == endpoint
    assert endpoint.port == 4567
    assert places.endpoint.stat().st_mode & 0o777 == 0o600
    assert places.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        json.dumps({"url": "http://example.com:80", "pid": 1, "started": 1, "instance": "x"}),
        json.dumps({"url": "http://127.0.0.1:80/x", "pid": 1, "started": 1, "instance": "x"}),
        json.dumps({"url": "127.0.0.1", "pid": 1, "started": 1, "instance": "x"}),
    ],
)
def test_a_strangers_endpoint_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "endpoint.json"
    path.write_text(content)
    assert ep.read(path) is None


def test_no_file_is_no_endpoint(tmp_path: Path) -> None:
    assert ep.read(tmp_path / "endpoint.json") is None


def test_a_port_where_nobody_listens_does_not_live() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert not ep.lives(ep.Endpoint(f"http://127.0.0.1:{port}", 1, 0.0, "x"))
