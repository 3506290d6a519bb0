"""Where the IPC socket lies."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from ggml_magic.core import socketpath


def test_a_short_root_holds_its_socket() -> None:
    root = Path("/short")
    assert socketpath.place(root) == root / "ipc.socket"
    longest = Path("/" + "x" * (socketpath.LONGEST - len("//ipc.socket")))
    assert socketpath.place(longest) == longest / "ipc.socket"
    assert socketpath.place(Path(f"{longest}x")).parent.parent == Path(tempfile.gettempdir())


def test_a_long_root_has_a_private_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socketpath.tempfile, "gettempdir", lambda: str(tmp_path))
    root = Path("/" + "x" * 200)
    path = socketpath.place(root)
    assert socketpath.place(root) == path != socketpath.place(Path(f"{root}y"))
    assert len(str(path).removeprefix(str(tmp_path))) < 60
    for _ in range(2):
        socketpath.make_folder(path)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.touch()
    socketpath.remove(path, root)
    assert not path.parent.exists()
    socketpath.remove(path, root)


def test_a_folder_that_someone_else_put_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match="not a folder of this user"):
        socketpath.make_folder(tmp_path / "link" / "ipc.socket")
