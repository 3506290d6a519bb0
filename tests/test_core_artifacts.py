"""Artifacts (EDGE-CORE 3)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ggml_magic.core import archives, artifacts
from ggml_magic.core.artifacts import ArtifactError, Wishes
from ggml_magic.core.disk import Layout
from ggml_magic.core.downloads import TRIES, Place
from ggml_magic.core.packages import Room
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

    async def download(
        self, place: Place, target: Path, admit: Callable[[int], None] = lambda size: None
    ) -> str:
        assert place.bucket == "bucket"
        self.downloads += 1
        content = self.objects[place.key]
        admit(len(content))
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


def test_folders_of_a_component_are_closed_to_others_of_this_machine(layout: Layout) -> None:
    content = archive(main="run")
    prepare(layout, Store(**{"a.zip": content}), artifact(content))
    for root in (layout.artifacts, layout.unarchived):
        for folder in (root / NAME, root / NAME / VERSION):
            assert folder.stat().st_mode & 0o777 == 0o700


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
    assert store.downloads == TRIES
    assert files(layout.artifacts) == {f"{NAME}/{VERSION}/a.zip"}


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("docker:x", "is a Docker image, and this core runs no containers"),
        ("https://bucket/a", "neither s3://bucket/key nor greengrass:name"),
        ("s3://bucket/", "names no file"),
        ("s3://bucket", "is no s3://bucket/key"),
        ("s3:/bucket/a", "is no s3://bucket/key"),
        ("s3://bucket/x/..", "names no file"),
        ("s3://bucket/.part", "names no file"),
        ("greengrass:a", "no version of the cloud's"),
        ("a", "neither s3"),
    ],
)
def test_other_places_are_refused(layout: Layout, uri: str, why: str) -> None:
    with pytest.raises(ArtifactError, match=why):
        prepare(layout, Store(), replace(artifact(b""), uri=uri))


def test_a_service_artifact_is_asked_for_by_the_versions_arn(layout: Layout) -> None:
    (layout.recipes / f"{NAME}-{VERSION}.arn").write_text("arn:x")
    places = []

    class Cloud:
        async def download(
            self, place: Place, target: Path, admit: Callable[[int], None] = lambda size: None
        ) -> str:
            places.append(place)
            target.write_bytes(b"m")
            return artifact(b"m").digest

    wanted = replace(artifact(b"m", unarchive="NONE"), uri="greengrass:m.bin")
    asyncio.run(artifacts.prepare(layout, Cloud(), NAME, VERSION, [wanted]))
    assert places == [Place("greengrass:m.bin", arn="arn:x", name="m.bin")]
    assert (layout.artifacts / NAME / VERSION / "m.bin").read_bytes() == b"m"


def test_a_local_file_without_a_digest_is_taken_as_it_is(layout: Layout) -> None:
    folder = layout.artifacts / NAME / VERSION
    folder.mkdir(parents=True)
    (folder / "a.zip").write_bytes(archive(x="local"))
    store = Store()
    prepare(layout, store, Artifact("s3://bucket/a.zip", unarchive="ZIP"))
    assert store.downloads == 0
    assert (layout.unarchived / NAME / VERSION / "a" / "x").read_text() == "local"


def test_without_room_nothing_is_written_and_unused_versions_go_first(layout: Layout) -> None:
    old = layout.artifacts / NAME / "0.9.0"
    old.mkdir(parents=True)
    (old / "m").write_bytes(bytes(1000))
    content = bytes(1500)
    store, wanted = Store(m=content), artifact(content, "m", "NONE")

    def bring(limit: int) -> None:
        wishes = Wishes(Room(layout, lambda: [(NAME, VERSION)], store_bytes=limit))
        asyncio.run(artifacts.prepare(layout, store, NAME, VERSION, [wanted], wishes))

    with pytest.raises(ArtifactError, match="no room for s3://bucket/m of 1500") as caught:
        bring(1200)
    assert caught.value.code == "DISK_SPACE_CRITICAL"
    assert files(layout.artifacts) == set()
    old.mkdir(parents=True)
    (old / "m").write_bytes(bytes(1000))
    bring(2000)
    assert files(layout.artifacts) == {f"{NAME}/{VERSION}/m"}


def test_a_new_owner_hears_of_each_file_and_folder_once_it_is_ready(layout: Layout) -> None:
    content = archive(x="1")
    heard: list[tuple[str, int]] = []

    def owned(path: Path) -> None:
        heard.append((path.name, path.stat().st_mode & 0o777))

    wishes = Wishes(Room(layout), owned)
    store = Store(**{"a.zip": content})
    asyncio.run(artifacts.prepare(layout, store, NAME, VERSION, [artifact(content)], wishes))
    assert heard == [("a", 0o750), ("a.zip", 0o440)]


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
    assert [path.read_bytes() for path in layout.artifacts.glob("*/*/.a.zip.*.part")] == [b"x"]
    store.error = CloudError("GetObject was refused", "no such key")
    with pytest.raises(ArtifactError):
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
    assert archives.mode(wanted) == bits
    prepare(layout, Store(**{"a.zip": content}), wanted)
    folder = layout.unarchived / NAME / VERSION / "a"
    assert (folder / "sub" / "x").stat().st_mode & 0o777 == bits
    assert (layout.artifacts / NAME / VERSION / "a.zip").stat().st_mode & 0o777 == bits
    artifacts.remove(folder)
    assert not folder.exists()


def test_bits_of_its_own_go_before_those_of_words() -> None:
    assert archives.mode(replace(artifact(b""), read="NONE", bits=0o755)) == 0o755
