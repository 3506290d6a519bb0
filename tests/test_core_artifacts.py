"""Artifacts (EDGE-CORE 3)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from ggml_magic.core import artifacts
from ggml_magic.core.artifacts import ArtifactError
from ggml_magic.core.disk import Layout
from ggml_magic.core.recipe import Artifact
from ggml_magic.errors import CloudError, UnreachableError

NAME, VERSION = "com.example.A", "1.0.0"


class Store:
    """An object store; ``cut`` downloads arrive broken first."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = objects
        self.downloads = 0
        self.cut = 0
        self.error: Exception | None = None

    async def download(self, bucket: str, key: str, target: Path) -> str:
        assert bucket == "bucket"
        self.downloads += 1
        content = self.objects[key]
        if self.downloads <= self.cut:
            content = content[:-1]
        target.write_bytes(content)
        if self.error:
            raise self.error
        return base64.b64encode(hashlib.sha256(content).digest()).decode()


def archive(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for name, text in files.items():
            opened.writestr(name.replace("__", "/"), text)
    return content.getvalue()


def artifact(content: bytes, key: str = "a.zip", unarchive: str = "ZIP") -> Artifact:
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return Artifact(f"s3://bucket/{key}", digest, "SHA-256", unarchive)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "root")
    made.make()
    return made


def prepare(layout: Layout, store: Store, *wanted: Artifact) -> None:
    asyncio.run(artifacts.prepare(layout, store, NAME, VERSION, wanted))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_archive_is_downloaded_and_unpacked_under_its_stem(layout: Layout) -> None:
    content = archive(main="run", sub__x="deep")
    prepare(layout, Store(**{"a.zip": content}), artifact(content))
    assert (layout.artifacts / NAME / VERSION / "a.zip").read_bytes() == content
    folder = layout.unarchived / NAME / VERSION / "a"
    assert (folder / "main").read_text() == "run"
    assert (folder / "sub" / "x").read_text() == "deep"


def test_without_unarchive_there_is_only_the_file(layout: Layout) -> None:
    prepare(layout, Store(m=b"model"), artifact(b"model", "m", "NONE"))
    assert files(layout.artifacts) == {f"{NAME}/{VERSION}/m"}
    assert files(layout.unarchived) == set()


def test_what_is_there_with_the_right_digest_is_used_again(layout: Layout) -> None:
    content = archive(x="1")
    store = Store(**{"a.zip": content})
    prepare(layout, store, artifact(content))
    inode = (layout.unarchived / NAME / VERSION / "a" / "x").stat().st_ino
    prepare(layout, store, artifact(content))
    assert store.downloads == 1
    assert (layout.unarchived / NAME / VERSION / "a" / "x").stat().st_ino == inode


def test_a_file_that_was_changed_on_the_device_is_downloaded_again(layout: Layout) -> None:
    content = archive(x="1")
    store = Store(**{"a.zip": content})
    prepare(layout, store, artifact(content))
    file = layout.artifacts / NAME / VERSION / "a.zip"
    file.chmod(0o600)
    file.write_bytes(b"changed")
    prepare(layout, store, artifact(content))
    assert file.read_bytes() == content
    assert store.downloads == 2


def test_another_archive_of_the_same_name_replaces_the_unpacked_one(layout: Layout) -> None:
    old, new = archive(x="1", gone="1"), archive(x="2")
    prepare(layout, Store(**{"a.zip": old}), artifact(old))
    prepare(layout, Store(**{"a.zip": new}), artifact(new))
    assert files(layout.unarchived / NAME / VERSION / "a") == {"x"}


def test_a_cut_transfer_is_tried_again_and_a_wrong_object_is_refused(layout: Layout) -> None:
    content = archive(x="1")
    store = Store(**{"a.zip": content})
    store.cut = 2
    prepare(layout, store, artifact(content))
    store = Store(b=b"something else")
    with pytest.raises(ArtifactError, match=r"s3://bucket/b .*digest differs"):
        prepare(layout, store, artifact(b"published", "b", "NONE"))
    assert store.downloads == artifacts.TRIES
    assert files(layout.artifacts) == {f"{NAME}/{VERSION}/a.zip"}


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "x/../../../out"])
def test_an_entry_outside_is_refused_and_nothing_stays(layout: Layout, name: str) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        opened.writestr("good", "1")
        opened.writestr(name, "evil")
    with pytest.raises(ArtifactError, match="leaves its folder"):
        prepare(layout, Store(**{"a.zip": content.getvalue()}), artifact(content.getvalue()))
    assert list((layout.unarchived / NAME / VERSION).iterdir()) == []
    assert not list(layout.root.rglob("out"))


def test_a_link_is_refused_and_so_is_no_archive(layout: Layout) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(entry, "/etc/passwd")
    with pytest.raises(ArtifactError, match="is a link"):
        prepare(layout, Store(**{"a.zip": content.getvalue()}), artifact(content.getvalue()))
    with pytest.raises(ArtifactError, match="cannot be unpacked"):
        prepare(layout, Store(**{"b.zip": b"no zip"}), artifact(b"no zip", "b.zip"))


@pytest.mark.parametrize("uri", ["docker:x", "https://bucket/a", "s3://bucket", "s3://bucket/x/.."])
def test_other_places_are_refused(layout: Layout, uri: str) -> None:
    with pytest.raises(ArtifactError):
        prepare(layout, Store(), replace(artifact(b""), uri=uri))


def test_an_artifact_without_a_digest_is_refused(layout: Layout) -> None:
    for change in ({"digest": ""}, {"algorithm": ""}, {"algorithm": "MD5"}):
        with pytest.raises(ArtifactError, match="digest"):
            prepare(layout, Store(**{"a.zip": b""}), replace(artifact(b""), **change))


def test_a_refusal_is_the_artifacts_silence_is_not(layout: Layout) -> None:
    store = Store(**{"a.zip": b"x"})
    store.error = CloudError("GetObject was refused", "no such key")
    with pytest.raises(ArtifactError, match="no such key"):
        prepare(layout, store, artifact(b"x"))
    store.error = UnreachableError("nobody answers")
    with pytest.raises(UnreachableError):
        prepare(layout, store, artifact(b"x"))
    assert files(layout.artifacts) == set()


@pytest.mark.parametrize(
    ("read", "execute", "bits"),
    [
        ("OWNER", "NONE", 0o440), ("NONE", "NONE", 0o400), ("ALL", "NONE", 0o444),
        ("OWNER", "OWNER", 0o550), ("OWNER", "ALL", 0o555), ("NONE", "OWNER", 0o550),
    ],
)  # fmt: skip
def test_permissions(layout: Layout, read: str, execute: str, bits: int) -> None:
    content = archive(sub__x="1")
    wanted = replace(artifact(content), read=read, execute=execute)
    assert artifacts.mode(wanted) == bits
    prepare(layout, Store(**{"a.zip": content}), wanted)
    folder = layout.unarchived / NAME / VERSION / "a"
    assert (folder / "sub" / "x").stat().st_mode & 0o777 == bits
    assert (layout.artifacts / NAME / VERSION / "a.zip").stat().st_mode & 0o777 == bits
    artifacts.remove(folder)
    assert not folder.exists()


def test_tidying_keeps_what_is_named(layout: Layout) -> None:
    content = archive(x="1")
    for name, version in ((NAME, "1.0.0"), (NAME, "2.0.0"), ("other", "1.0.0")):
        wanted = artifact(content)
        store = Store(**{"a.zip": content})
        asyncio.run(artifacts.prepare(layout, store, name, version, [wanted]))
        (layout.recipes / f"{name}-{version}.json").write_text("{}")
    artifacts.tidy(layout, [(NAME, "2.0.0")])
    for folder in (layout.artifacts, layout.unarchived):
        assert [str(path.relative_to(folder)) for path in folder.glob("*/*")] == [f"{NAME}/2.0.0"]
        assert [path.name for path in folder.iterdir()] == [NAME]
    assert [path.name for path in layout.recipes.iterdir()] == [f"{NAME}-2.0.0.json"]
