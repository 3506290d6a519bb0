"""ZIP archives (EDGE-CORE 3)."""

from __future__ import annotations

import base64
import hashlib
import io
import stat
import struct
import tempfile
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.core import archives, packages
from ggml_magic.core.archives import STAMP, unpack
from ggml_magic.core.disk import Layout
from ggml_magic.core.packages import ArtifactError, Room
from ggml_magic.core.recipe import Artifact

MEGABYTE = 1024 * 1024


def zipped(*entries: tuple[str, bytes], kind: int = 0, compressed: bool = False) -> bytes:
    content = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(content, "w", method) as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that are there twice
        for name, data in entries:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            entry.external_attr = (kind | 0o644) << 16
            opened.writestr(entry, data)
    return content.getvalue()


def artifact(content: bytes) -> Artifact:
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return Artifact("s3://b/a.zip", digest, "SHA-256", "ZIP")


class Place:
    """A device's folders, with an archive in it."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.make()
        self.archive = self.layout.artifacts / "a.zip"
        self.target = self.layout.unarchived / "c" / "1.0.0" / "a"

    def unpack(
        self, content: bytes, limit: int = packages.STORE_BYTES, digest: bool = True
    ) -> None:
        self.archive.write_bytes(content)
        wanted = artifact(content) if digest else Artifact("s3://b/a.zip", unarchive="ZIP")
        unpack(wanted, self.archive, self.target, Room(self.layout, store_bytes=limit))

    def left(self) -> list[Path]:
        return sorted(self.target.parent.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "root")


def test_a_folder_in_an_archive_stays_a_folder(place: Place) -> None:
    place.unpack(zipped(("model/m.bin", b"1"), ("model/", b""), ("./x", b"2")))
    assert (place.target / "model" / "m.bin").read_bytes() == b"1"
    assert (place.target / "x").read_bytes() == b"2"


BAD = {
    "up": [("../out", b"x")],
    "up inside": [("a/../../../out", b"x")],
    "up that comes back": [("a/../b", b"x")],
    "absolute": [("/out", b"x")],
    "backslash": [("\\out", b"x")],
    "twice": [("a", b"1"), ("a", b"2")],
    "twice in other spellings": [("a/b", b"1"), ("a/./b", b"2")],
    "twice with a slash more": [("a/b", b"1"), ("a//b", b"2")],
    "a file that is a folder": [("a", b"1"), ("a/b", b"2")],
    "a folder that is a file": [("a/b", b"1"), ("a", b"2")],
    "a name that no disk takes": [("a" * 300, b"1")],
}


@pytest.mark.parametrize("entries", BAD.values(), ids=BAD)
def test_a_bad_entry_is_refused_and_everything_is_undone(
    place: Place, entries: list[tuple[str, bytes]]
) -> None:
    with pytest.raises(ArtifactError) as caught:
        place.unpack(zipped(("good", b"1"), *entries))
    assert caught.value.code == "IO_UNZIP_ERROR"
    assert place.left() == []
    assert not list(place.layout.root.rglob("out"))


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK]
)
def test_only_files_and_folders_are_unpacked(place: Place, kind: int) -> None:
    with pytest.raises(ArtifactError, match="which is a"):
        place.unpack(zipped(("x", b"/etc/passwd"), kind=kind))
    assert place.left() == []
    place.unpack(zipped(("x", b"1"), kind=stat.S_IFREG))


def test_a_bomb_by_what_it_says_is_not_unpacked(place: Place) -> None:
    content = zipped(("zeros", bytes(20 * MEGABYTE)), compressed=True)
    assert len(content) < MEGABYTE
    with pytest.raises(ArtifactError, match=r"no room for a.zip unpacked of 20971520 bytes"):
        place.unpack(content, limit=10 * MEGABYTE)
    assert place.left() == []


def test_a_bomb_that_says_less_than_it_is_is_cut(place: Place) -> None:
    content = bytearray(zipped(("zeros", bytes(4 * MEGABYTE)), compressed=True))
    # the size before compression stands at 22 of the local head and at 24 of the directory's
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(mark) + at, 10)
    with pytest.raises(ArtifactError, match="cannot be unpacked"):
        place.unpack(bytes(content), limit=MEGABYTE)
    assert place.left() == []


def test_too_many_entries_are_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_ENTRIES", 3)
    with pytest.raises(ArtifactError, match="holds 4 entries"):
        place.unpack(zipped(*((str(n), b"") for n in range(4))))


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_an_archive_that_was_damaged_is_unpacked_or_refused_whole(data: st.DataObject) -> None:
    content = bytearray(zipped(("a/x", b"1" * 50), ("y", b"2"), compressed=True))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder) / "root")
        try:
            place.unpack(bytes(content))
        except ArtifactError:
            assert place.left() == []
        outside = {each.name for each in Path(folder).iterdir()}
        assert outside == {"root"}


def test_what_is_complete_stays_and_what_is_not_is_made_again(place: Place) -> None:
    content = zipped(("x", b"1"), ("d/y", b"22"))
    place.unpack(content)
    inode = (place.target / "x").stat().st_ino
    place.unpack(content)
    assert (place.target / "x").stat().st_ino == inode
    (place.target / "d" / "y").unlink()
    place.unpack(content)
    assert (place.target / "d" / "y").read_bytes() == b"22"
    (place.target / "x").chmod(0o600)
    (place.target / "x").write_bytes(b"longer")
    place.unpack(content)
    assert (place.target / "x").read_bytes() == b"1"


def test_a_local_archive_without_a_digest_is_known_by_its_own(place: Place) -> None:
    place.unpack(zipped(("x", b"1")), digest=False)
    place.unpack(zipped(("x", b"2")), digest=False)
    assert (place.target / "x").read_bytes() == b"2"
    assert place.target.with_name(f"a{STAMP}").exists()


CHOICES = st.sampled_from(["NONE", "OWNER", "ALL"])


@given(CHOICES, CHOICES)
def test_permission_bits(read: str, execute: str) -> None:
    bits = archives.mode(Artifact("s3://b/k", read=read, execute=execute))
    runs = execute != "NONE"
    assert bool(bits & 0o400)
    assert bool(bits & 0o100) is runs
    assert bool(bits & 0o040) is (read != "NONE" or runs)
    assert bool(bits & 0o010) is runs
    assert bool(bits & 0o004) is (read == "ALL" or execute == "ALL")
    assert bool(bits & 0o001) is (execute == "ALL")
    assert not bits & 0o222
