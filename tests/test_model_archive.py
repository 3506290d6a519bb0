"""Archives from outside: what may come out of them, and what must not."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ggml_magic.errors import UnsupportedStageError
from ggml_magic.model.archive import LARGEST_READ_BYTES, Bounds, is_archive, unpack

Pack = Callable[[Path, dict[str, bytes]], Path]


def packed_zip(folder: Path, entries: dict[str, bytes]) -> Path:
    path = folder / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def packed_tar(folder: Path, entries: dict[str, bytes]) -> Path:
    path = folder / "m.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


both = pytest.mark.parametrize("pack", [packed_zip, packed_tar])


@pytest.mark.parametrize(
    ("name", "known"),
    [("a.zip", True), ("A.TGZ", True), ("model.tar.gz", True), ("a.keras", False), ("gz", False)],
)
def test_the_name_says_what_is_an_archive(name: str, known: bool) -> None:
    assert is_archive(Path(name)) is known


@both
def test_files_and_folders_come_out(pack: Pack, tmp_path: Path) -> None:
    path = pack(tmp_path, {"./1/saved_model.pb": b"a", "1/variables/v.index": b"bb"})
    out = unpack(path, tmp_path / "new")
    assert out.parent.parent == tmp_path / "new" and out.name == "m"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (out / "1" / "saved_model.pb").read_bytes() == b"a"
    assert (out / "1" / "variables" / "v.index").read_bytes() == b"bb"
    assert unpack(path, tmp_path / "new") != out


@both
@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/tmp/evil", "a/..", "..\\evil", "C:\\evil"]
)
def test_a_name_that_leaves_the_folder_is_refused(pack: Pack, name: str, tmp_path: Path) -> None:
    path = pack(tmp_path, {"fine": b"", name: b"x"})
    with pytest.raises(UnsupportedStageError, match="leaves its folder"):
        unpack(path, tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())
    assert {p.name for p in tmp_path.iterdir()} == {path.name, "new"}


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.tgz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("first"))
        member = tarfile.TarInfo("second")
        member.type, member.linkname = kind, "first"
        archive.addfile(member)
    with pytest.raises(UnsupportedStageError, match="'second', which is no plain file"):
        unpack(path, tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(kind: int, tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (kind | 0o777) << 16
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(UnsupportedStageError, match="no plain file"):
        unpack(path, tmp_path / "new")


@both
def test_a_bomb_is_stopped_by_its_size(pack: Pack, tmp_path: Path) -> None:
    path = pack(tmp_path, {"zeros": bytes(3_000_000)})
    assert path.stat().st_size < 20_000
    with pytest.raises(UnsupportedStageError, match=r"more than 2,000,000 bytes|more than is"):
        unpack(path, tmp_path / "new", Bounds(files=10, size=2_000_000))
    assert not list((tmp_path / "new").iterdir())
    unpack(path, tmp_path / "new", Bounds(files=10, size=3_000_000))


@both
def test_many_small_files_add_up(pack: Pack, tmp_path: Path) -> None:
    path = pack(tmp_path, {str(i): bytes(100) for i in range(50)})
    with pytest.raises(UnsupportedStageError, match="more than 49 files"):
        unpack(path, tmp_path / "new", Bounds(files=49))
    with pytest.raises(UnsupportedStageError, match="more than"):
        unpack(path, tmp_path / "new", Bounds(size=4_999))
    unpack(path, tmp_path / "new", Bounds(files=50, size=5_000))


def test_a_zip_that_lies_about_its_sizes_gains_nothing(tmp_path: Path) -> None:
    path = packed_zip(tmp_path, {"zeros": bytes(3_000_000)})
    size = (3_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(UnsupportedStageError, match="cannot be unpacked"):
        unpack(path, tmp_path / "new", Bounds(size=1_000_000))
    assert not list((tmp_path / "new").iterdir())


def test_a_header_of_a_tar_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, LARGEST_READ_BYTES + 1
    path = tmp_path / "m.tar.gz"
    path.write_bytes(gzip.compress(header.tobuf() + bytes(LARGEST_READ_BYTES + 1024)))
    with pytest.raises(UnsupportedStageError, match="too long"):
        unpack(path, tmp_path / "new")


@both
def test_a_file_cannot_be_replaced_by_a_later_entry(pack: Pack, tmp_path: Path) -> None:
    path = pack(tmp_path, {"a": b"1", "./a": b"2"})
    with pytest.raises(UnsupportedStageError, match="cannot be unpacked"):
        unpack(path, tmp_path / "new")
    path = pack(tmp_path, {"b": b"1", "b/c": b"2"})
    with pytest.raises(UnsupportedStageError, match="cannot be unpacked"):
        unpack(path, tmp_path / "new")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = packed_zip(tmp_path, {"a": b"secret"})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag of encryption, in the local header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the central one
    path.write_bytes(content)
    with pytest.raises(UnsupportedStageError, match="encrypted"):
        unpack(path, tmp_path / "new")


@pytest.mark.parametrize("name", ["m.zip", "m.tar.gz", "m.tgz"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(content=st.binary(max_size=300))
def test_random_bytes_are_no_archive(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnsupportedStageError, match="cannot be unpacked"):
        unpack(path, tmp_path / "new")


@both
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(share=st.floats(0.01, 0.95))
def test_a_truncated_archive_leaves_nothing(pack: Pack, share: float, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40
    path = pack(tmp_path, {"a": content, "b": content[::-1]})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UnsupportedStageError, match="cannot be unpacked"):
        unpack(path, tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())
