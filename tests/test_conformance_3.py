"""Section 3: how artifacts come to a device, and where they lie."""

from __future__ import annotations

import asyncio
import base64
import grp
import hashlib
import http.server
import io
import json
import os
import pwd
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rules import rule

from ggml_magic.core import artifacts, nucleus, packages, recipe, socketpath
from ggml_magic.core.artifacts import ArtifactError, Wishes
from ggml_magic.core.cloud import Cloud
from ggml_magic.core.disk import Layout
from ggml_magic.core.doors import Doors
from ggml_magic.core.engine import Engine
from ggml_magic.core.ipc import Server, Serving
from ggml_magic.core.lifecycle import Service
from ggml_magic.core.logs import Log
from ggml_magic.core.packages import STORE_BYTES, Room
from ggml_magic.core.recipe import Artifact, Lifecycle
from tests.deploying import SUCCESSFUL, Scene, play

NAME, VERSION = "com.example.A", "1.0.0"
ARN = f"arn:aws:greengrass:eu-west-1:123456789012:components:{NAME}:versions:{VERSION}"
LITE = {"os": "linux", "runtime": "aws_nucleus_lite"}


def digest(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def zipped(**files: bytes) -> bytes:
    """A ZIP; ``__`` in a name is a slash, ``_up`` two dots."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("_up", "..").replace("__", "/"), data)
    return content.getvalue()


class Device:
    """A device's folders, and a server that has a bucket and a component's own artifacts."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.make()
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        device = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the server calls it so
                device.asked.append(self.path)
                content = device.answer(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        (root / "endpoint.json").write_text(json.dumps({"url": self.url}))
        self.cloud = Cloud("pi", root / "endpoint.json", "eu-west-1")

    def answer(self, path: str) -> bytes:
        if path.startswith("/greengrass/"):
            name = path.rpartition("/")[2]
            return json.dumps({"preSignedUrl": f"{self.url}/signed/{name}"}).encode()
        return self.objects[path.rpartition("/")[2]]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def published(self, name: str, content: bytes, **changes: Any) -> Artifact:
        """An artifact of the bucket, with what its recipe says of it."""
        self.objects[name] = content
        wanted = Artifact(f"s3://bucket/{name}", digest(content), "SHA-256")
        return replace(wanted, **changes)

    def prepare(self, *wanted: Artifact, room: Room | None = None) -> None:
        wishes = Wishes(room) if room else None
        asyncio.run(
            artifacts.prepare(self.layout, self.cloud, NAME, VERSION, wanted, wishes)
        )  # fmt: skip

    def refuses(self, wanted: Artifact, match: str, room: Room | None = None) -> ArtifactError:
        with pytest.raises(ArtifactError, match=match) as caught:
            self.prepare(wanted, room=room)
        return caught.value

    def file(self, name: str) -> Path:
        return self.layout.artifacts / NAME / VERSION / name

    def unpacked(self, stem: str) -> Path:
        return self.layout.unarchived / NAME / VERSION / stem


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path / "root")
    yield made
    made.stop()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# Where things lie


@rule(
    "3.01", "both", "Recipes, artifacts, work folders, logs, deployments and config have folders."
)
def test_rule_3_01_folders(device: Device) -> None:
    layout, root = device.layout, device.layout.root
    device.prepare(device.published("m.bin", b"m"))
    assert (root / "packages" / "artifacts" / NAME / VERSION / "m.bin").read_bytes() == b"m"
    assert layout.work(NAME) == root / "work" / NAME
    assert layout.log(NAME) == root / "logs" / f"{NAME}.log"
    for folder in ("packages/recipes", "work", "logs", "deployments", "config"):
        assert (root / folder).is_dir()


@rule("3.02", "both", "What is unpacked lies under the file's name without its last extension.")
def test_rule_3_02_unarchived(device: Device) -> None:
    device.prepare(device.published("model.v1.zip", zipped(x=b"1"), unarchive="ZIP"))
    folder = device.layout.root / "packages" / "artifacts-unarchived" / NAME / VERSION
    assert (folder / "model.v1" / "x").read_bytes() == b"1"


@rule("3.03", "classic", "The IPC socket lies in the root and is called ipc.socket.")
def test_rule_3_03_socket() -> None:
    assert socketpath.place(Path("/greengrass/v2")) == Path("/greengrass/v2/ipc.socket")


@rule("3.06", "lite", "A recipe's file is called by its component's name and version.")
def test_rule_3_06_recipe_file(device: Device) -> None:
    document = {
        "RecipeFormatVersion": "2020-01-25", "ComponentName": NAME, "ComponentVersion": VERSION,
        "Manifests": [{}],
    }  # fmt: skip
    packages.keep(device.layout, json.dumps(document).encode())
    assert files(device.layout.recipes) == {f"{NAME}-{VERSION}.json"}


# Where they come from


@rule("3.07", "both", "s3: with bucket and key names an object.")
def test_rule_3_07_s3(device: Device) -> None:
    wanted = device.published("m.bin", b"model", uri="s3://bucket/some/where/m.bin")
    device.prepare(wanted)
    assert device.file("m.bin").read_bytes() == b"model"
    assert device.asked == ["/bucket/some/where/m.bin"]


@rule(
    "3.08", "both", "greengrass: names a file that the service keeps for the component's version."
)
def test_rule_3_08_greengrass(device: Device) -> None:
    (device.layout.recipes / f"{NAME}-{VERSION}.arn").write_text(ARN)
    device.prepare(device.published("m.bin", b"model", uri="greengrass:m.bin"))
    assert device.file("m.bin").read_bytes() == b"model"
    first, second = device.asked
    assert first.startswith("/greengrass/v2/components/arn")
    assert (first.rpartition("/")[2], second) == ("m.bin", "/signed/m.bin")


@rule("3.10", "both", "Any other scheme is an error.")
def test_rule_3_10_other_schemes(device: Device) -> None:
    for uri in ("https://bucket/m.bin", "file:///m.bin", "m.bin"):
        wanted = device.published("m.bin", b"model", uri=uri)
        assert device.refuses(wanted, "neither").code == "UNSUPPORTED_ARTIFACT_SCHEME"
    assert device.asked == []


@rule("3.11", "both", "A file that is there with its digest is not downloaded again.")
def test_rule_3_11_kept(device: Device) -> None:
    for _ in range(2):
        device.prepare(device.published("m.bin", b"model"))
    assert device.asked == ["/bucket/m.bin"]


@rule("3.12", "both", "A file that is there with another digest is downloaded again.")
def test_rule_3_12_other_content(device: Device) -> None:
    wanted = device.published("m.bin", b"model")
    device.prepare(wanted)
    device.file("m.bin").chmod(0o600)
    device.file("m.bin").write_bytes(b"other")
    device.prepare(wanted)
    assert device.file("m.bin").read_bytes() == b"model"


@rule("3.13", "both", "A local recipe names no digest: the file that is there is taken as it is.")
def test_rule_3_13_local_file(device: Device) -> None:
    device.file("m.bin").parent.mkdir(parents=True)
    device.file("m.bin").write_bytes(b"mine")
    device.prepare(Artifact("s3://bucket/m.bin"))
    assert device.file("m.bin").read_bytes() == b"mine"
    assert device.asked == []


@rule("3.14", "both", "What was downloaded must have the digest, base64 of its SHA-256.")
def test_rule_3_14_digest(device: Device) -> None:
    hexadecimal = hashlib.sha256(b"model").hexdigest()
    device.refuses(device.published("m.bin", b"model", digest=hexadecimal), "digest differs")
    assert files(device.layout.artifacts) == set()
    device.prepare(device.published("m.bin", b"model"))


@rule("3.15", "both", "After a wrong digest the download is tried again.")
def test_rule_3_15_tried_again(device: Device) -> None:
    wanted = device.published("m.bin", b"model")
    contents = iter([b"wrong", b"model"])
    device.answer = lambda path: next(contents)  # type: ignore[method-assign]
    device.prepare(wanted)
    assert device.file("m.bin").read_bytes() == b"model"
    assert len(device.asked) == 2


@rule("3.16", "both", "If it stays wrong, the deployment fails: ARTIFACT_CHECKSUM_MISMATCH.")
def test_rule_3_16_checksum_mismatch(device: Device) -> None:
    wanted = device.published("m.bin", b"model", digest=digest(b"other"))
    assert device.refuses(wanted, "digest differs").code == "ARTIFACT_CHECKSUM_MISMATCH"
    assert len(device.asked) > 1
    assert files(device.layout.artifacts) == set()


def chosen(platform: dict[str, str], **keys: Any) -> Artifact:
    """An artifact as a device reads it in a recipe."""
    document = {
        "RecipeFormatVersion": "2020-01-25", "ComponentName": NAME, "ComponentVersion": VERSION,
        "Manifests": [{
            "Platform": {"runtime": "*"}, "Artifacts": [{"Uri": "s3://bucket/m.bin", **keys}]
        }],
    }  # fmt: skip
    return recipe.choose(recipe.parse(json.dumps(document)), platform)[1][0]


@rule("3.17", "classic", "A digest without its algorithm is an error.")
def test_rule_3_17_no_algorithm(device: Device) -> None:
    device.published("m.bin", b"model")
    device.refuses(chosen({"os": "linux"}, Digest=digest(b"model")), "SHA-256")
    assert device.asked == []


@rule("3.18", "lite", "A digest without its algorithm is taken for one of SHA-256.")
def test_rule_3_18_algorithm_supposed(device: Device) -> None:
    device.published("m.bin", b"model")
    device.prepare(chosen(LITE, Digest=digest(b"model")))
    assert device.file("m.bin").read_bytes() == b"model"
    device.refuses(chosen(LITE, Digest=digest(b"other")), "digest differs")


@pytest.mark.real
@rule("3.19", "lite", "That its algorithm was supposed is told by a warning.")
def test_rule_3_19_warning(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        nucleus.dialect(at.layout, "lite")
        at.cloud.add("a", "1.0.0", {"run": "true"}, artifacts={"m.bin": b"model"})
        manifest = at.cloud.recipes["a"]["1.0.0"]["Manifests"][0]
        manifest["Platform"]["runtime"] = "*"
        del manifest["Artifacts"][0]["Algorithm"]
        assert await at.deploy({"a": "1.0.0"}) == SUCCESSFUL
        assert "supposes that its digest is of SHA-256" in at.log.path.read_text()

    play(tmp_path, scene)


# How much room they may take


@rule("3.20", "both", "Nothing is downloaded when too little of the disk would stay free.")
def test_rule_3_20_free_space(device: Device) -> None:
    wanted = device.published("m.bin", b"model")
    free = shutil.disk_usage(device.layout.root).free
    code = device.refuses(wanted, "must stay", Room(device.layout, free_bytes=2 * free)).code
    assert code == "DISK_SPACE_CRITICAL"
    assert files(device.layout.artifacts) == set()


@rule("3.21", "both", "The component store takes at most 10 GB, or what the nucleus is told.")
def test_rule_3_21_store_limit(device: Device) -> None:
    assert STORE_BYTES == 10 * 1000**3
    wanted = device.published("m.bin", bytes(1000))
    device.refuses(wanted, "component store", Room(device.layout, store_bytes=999))
    device.prepare(wanted, room=Room(device.layout, store_bytes=1000))


# Who may do what with them

PERMISSIONS = [(read, run) for read in recipe.CHOICES["Read"] for run in recipe.CHOICES["Execute"]]


def bits(device: Device, read: str, execute: str) -> int:
    """The permission bits of a file on the disk."""
    device.prepare(device.published("m.bin", b"m", read=read, execute=execute))
    return mode(device.file("m.bin"))


@rule("3.22", "both", "Its owner may always read an artifact.")
def test_rule_3_22_owner_reads(device: Device) -> None:
    assert all(bits(device, *each) & 0o400 for each in PERMISSIONS)


@rule("3.23", "both", "Its owner may run it when Execute is OWNER or ALL.")
def test_rule_3_23_owner_runs(device: Device) -> None:
    for read, execute in PERMISSIONS:
        assert bool(bits(device, read, execute) & 0o100) is (execute in ("OWNER", "ALL"))


@rule("3.24", "both", "The group may read it when Read is not NONE or somebody may run it.")
def test_rule_3_24_group_reads(device: Device) -> None:
    for read, execute in PERMISSIONS:
        wanted = read in ("OWNER", "ALL") or execute != "NONE"
        assert bool(bits(device, read, execute) & 0o040) is wanted


@rule("3.25", "both", "The group may run it when somebody may.")
def test_rule_3_25_group_runs(device: Device) -> None:
    for read, execute in PERMISSIONS:
        assert bool(bits(device, read, execute) & 0o010) is (execute != "NONE")


@rule("3.26", "both", "All others may read it when Read or Execute is ALL.")
def test_rule_3_26_others_read(device: Device) -> None:
    for read, execute in PERMISSIONS:
        assert bool(bits(device, read, execute) & 0o004) is ("ALL" in (read, execute))


@rule("3.27", "both", "All others may run it when Execute is ALL.")
def test_rule_3_27_others_run(device: Device) -> None:
    for read, execute in PERMISSIONS:
        assert bool(bits(device, read, execute) & 0o001) is (execute == "ALL")


@rule("3.28", "lite", "An artifact that says nothing of permissions gets 0755.")
def test_rule_3_28_lites_default(device: Device) -> None:
    device.published("m.bin", b"model")
    device.prepare(chosen(LITE, Digest=digest(b"model")))
    assert mode(device.file("m.bin")) == 0o755


@rule("3.29", "lite", "An artifact that only says that ALL may read gets 0444.")
def test_rule_3_29_lites_read_all(device: Device) -> None:
    device.published("m.bin", b"model")
    device.prepare(chosen(LITE, Digest=digest(b"model"), Permission={"Read": "ALL"}))
    assert mode(device.file("m.bin")) == 0o444


@pytest.fixture(name="owned")
def owned_by_nobody() -> Iterator[Layout]:
    """The files of a component once it runs as another user; pytest's folders are closed to him."""
    with tempfile.TemporaryDirectory(dir="/tmp") as above:
        Path(above).chmod(0o755)
        layout = Layout(Path(above) / "root")
        layout.make()
        for folder in (layout.artifacts, layout.unarchived):
            (folder / NAME / VERSION).mkdir(parents=True)
            (folder / NAME / VERSION / "m.bin").touch()

        async def admitted() -> None:
            log = Log(layout.root / "core.log")
            serving = Serving({}, lambda token: None, log)
            doors = Doors(socketpath.place(layout.root), lambda: Server(serving))
            engine = Engine(layout, {}, lambda name: None, log.warn, doors)
            group = grp.getgrgid(0).gr_name
            service = Service(NAME, VERSION, Lifecycle(), (), f"nobody:{group}")
            who = engine.account(service, privileged=False)
            assert who is not None
            await engine.admit(service, who)
            await engine.stop(1)
            log.close()

        asyncio.run(admitted())
        yield layout


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def owner(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid


NOBODY = pwd.getpwnam("nobody").pw_uid


@AS_ROOT
@rule("3.30", "both", "Artifacts belong to the user and group that their component runs as.")
def test_rule_3_30_owner_of_artifacts(owned: Layout) -> None:
    for folder in (owned.artifacts, owned.unarchived):
        assert owner(folder / NAME / VERSION / "m.bin") == (NOBODY, 0)


@AS_ROOT
@rule("3.31", "both", "So does its work folder.")
def test_rule_3_31_owner_of_work(owned: Layout) -> None:
    assert owner(owned.work(NAME)) == (NOBODY, 0)


# Archives


@rule("3.32", "both", "Archives are ZIP; anything else cannot be unpacked.")
def test_rule_3_32_zip_only(device: Device) -> None:
    wanted = device.published("m.tar.gz", b"\x1f\x8b no ZIP", unarchive="ZIP")
    assert device.refuses(wanted, "cannot be unpacked").code == "IO_UNZIP_ERROR"


@rule("3.33", "both", "An archive with an entry outside of its folder fails the deployment.")
def test_rule_3_33_outside(device: Device) -> None:
    for content in (zipped(_up__out=b"x"), zipped(a___up___up__out=b"x"), zipped(__out=b"x")):
        wanted = device.published("a.zip", content, unarchive="ZIP")
        assert device.refuses(wanted, "leaves its folder").code == "IO_UNZIP_ERROR"
    assert not [path for path in device.layout.root.rglob("out") if path.is_file()]


@rule("3.34", "both", "Of an archive that fails, what was unpacked is deleted.")
def test_rule_3_34_undone(device: Device) -> None:
    content = zipped(good=b"1", _up__out=b"x", later=b"2")
    broken = zipped(good=b"1", later=b"22222").replace(b"22222", b"33333")
    for each, why in ((content, "leaves its folder"), (broken, "cannot be unpacked")):
        device.refuses(device.published("a.zip", each, unarchive="ZIP"), why)
        assert files(device.layout.unarchived) == set()


@rule("3.35", "both", "An unpacked file that is there in its size is not written again.")
def test_rule_3_35_not_written_again(device: Device) -> None:
    wanted = device.published("a.zip", zipped(model=b"12345"), unarchive="ZIP")
    device.prepare(wanted)
    file = device.unpacked("a") / "model"
    file.chmod(0o600)
    file.write_bytes(b"54321")
    device.prepare(wanted)
    assert file.read_bytes() == b"54321"
    file.write_bytes(b"543")
    device.prepare(wanted)
    assert file.read_bytes() == b"12345"


@rule("3.37", "both", "The permissions of an archive are those of all files that it held.")
def test_rule_3_37_permissions_of_the_tree(device: Device) -> None:
    content = zipped(top=b"1", deep__er__file=b"2")
    device.prepare(device.published("a.zip", content, unarchive="ZIP", execute="ALL"))
    for name in ("top", "deep/er/file"):
        assert mode(device.unpacked("a") / name) == 0o555


@rule("3.38", "both", "What is not to be unpacked lies among the artifacts only.")
def test_rule_3_38_not_unpacked(device: Device) -> None:
    device.prepare(device.published("a.zip", zipped(x=b"1")))
    assert files(device.layout.artifacts) == {f"{NAME}/{VERSION}/a.zip"}
    assert files(device.layout.unarchived) == set()


@rule("3.39", "both", "A folder in an archive stays one below the folder of the archive's name.")
def test_rule_3_39_folder_in_an_archive(device: Device) -> None:
    device.prepare(device.published("model.zip", zipped(model__m=b"1"), unarchive="ZIP"))
    assert files(device.unpacked("model")) == {"model/m"}


@rule("3.40", "lite", "The archive of a local deployment is never unpacked.")
def test_rule_3_40_local_archives_of_lite(device: Device) -> None:
    device.file("m.bin").parent.mkdir(parents=True)
    device.file("m.bin").write_bytes(zipped(x=b"1"))
    device.prepare(chosen(LITE, Unarchive="ZIP"))
    assert files(device.layout.unarchived) == set()
    device.prepare(chosen({"os": "linux"}, Unarchive="ZIP"))
    assert files(device.unpacked("m")) == {"x"}


@rule("3.41", "lite", "What comes from the cloud is downloaded, verified and unpacked.")
def test_rule_3_41_archives_of_the_cloud_on_lite(device: Device) -> None:
    content = zipped(x=b"1")
    device.published("m.bin", content)
    keys = {"Algorithm": "SHA-256", "Unarchive": "ZIP"}
    device.refuses(chosen(LITE, Digest=digest(b"other"), **keys), "digest differs")
    device.prepare(chosen(LITE, Digest=digest(content), **keys))
    assert files(device.unpacked("m")) == {"x"}
