"""Downloads that go on (EDGE-CORE 3), against a real server that cuts connections."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from edge import wait_for
from sandboxes import own_workspace  # noqa: F401  # pytest finds fixtures by their names

from ggml_magic.core import artifacts, downloads
from ggml_magic.core.artifacts import ArtifactError
from ggml_magic.core.cloud import Cloud
from ggml_magic.core.disk import Layout, partial_name
from ggml_magic.core.downloads import TRIES
from ggml_magic.core.packages import keep
from ggml_magic.core.recipe import Artifact
from ggml_magic.errors import UnreachableError
from ggml_magic.sandbox import client
from ggml_magic.workspace import Workspace

NAME, VERSION = "com.example.A", "1.0.0"
CONTENT = os.urandom(300_000)


def digest(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


class Bucket:
    """Serves one object with ranges; hangs up after the numbers of bytes in ``cuts``."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.cuts: list[int] = []
        self.ranges: list[str] = []
        self.with_ranges = True
        self.status: list[int] = []
        self.on_cut: Callable[[], None] = lambda: None
        bucket = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the server calls it so
                bucket.answer(self)

            def log_message(self, *_: Any) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range", "")
        self.ranges.append(asked)
        begin = int(re.findall(r"\d+", asked)[0]) if asked and self.with_ranges else 0
        status = 206 if asked and self.with_ranges else 200
        body = self.content[begin:]
        if self.status:
            status, body = self.status.pop(0), b""
        elif begin >= len(self.content) > 0:
            status, body = 416, b""
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if self.cuts:
            handler.wfile.write(body[: self.cuts.pop(0)])
            self.on_cut()
        else:
            handler.wfile.write(body)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    made = Bucket(CONTENT)
    yield made
    made.stop()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "root")
    made.make()
    return made


@pytest.fixture
def cloud(bucket: Bucket, tmp_path: Path) -> Cloud:
    file = tmp_path / "endpoint.json"
    file.write_text(json.dumps({"url": f"http://127.0.0.1:{bucket.server.server_port}"}))
    return Cloud("pi", file, "eu-west-1")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.001)


def prepare(layout: Layout, cloud: Cloud, content: bytes = CONTENT, key: str = "m.bin") -> Path:
    wanted = Artifact(f"s3://bucket/{key}", digest(content), "SHA-256")
    asyncio.run(artifacts.prepare(layout, cloud, NAME, VERSION, [wanted]))
    return layout.artifacts / NAME / VERSION / key


def partials(layout: Layout) -> list[Path]:
    return [path for path in layout.artifacts.rglob("*") if path.name.endswith(".part")]


def test_a_cut_connection_goes_on_where_it_stopped(
    layout: Layout, cloud: Cloud, bucket: Bucket
) -> None:
    bucket.cuts = [100_000, 50_000, 1]
    assert prepare(layout, cloud).read_bytes() == CONTENT
    assert bucket.ranges == ["", "bytes=100000-", "bytes=150000-", "bytes=150001-"]
    assert partials(layout) == []


def test_one_that_gets_no_further_is_the_clouds_silence_and_goes_on_the_next_time(
    layout: Layout, cloud: Cloud, bucket: Bucket
) -> None:
    bucket.cuts = [100_000, 0]
    with pytest.raises(UnreachableError, match="200000 of 200000 bytes did not come"):
        prepare(layout, cloud)
    (left,) = partials(layout)
    assert left.name == partial_name("m.bin", digest(CONTENT))
    assert left.read_bytes() == CONTENT[:100_000]
    assert prepare(layout, cloud).read_bytes() == CONTENT
    assert bucket.ranges[2:] == ["bytes=100000-"]


def test_one_that_is_cut_for_ever_ends(layout: Layout, cloud: Cloud, bucket: Bucket) -> None:
    bucket.cuts = [1] * 100
    with pytest.raises(UnreachableError, match="was cut"):
        prepare(layout, cloud)
    assert len(bucket.ranges) == downloads.CUTS


def test_a_server_without_ranges_sends_all_of_it_again(
    layout: Layout, cloud: Cloud, bucket: Bucket
) -> None:
    bucket.with_ranges, bucket.cuts = False, [100_000]
    assert prepare(layout, cloud).read_bytes() == CONTENT
    assert bucket.ranges == ["", "bytes=100000-"]


def test_an_object_that_changed_meanwhile_is_fetched_whole(
    layout: Layout, cloud: Cloud, bucket: Bucket
) -> None:
    new = os.urandom(len(CONTENT))

    def change() -> None:
        bucket.content = new

    bucket.cuts, bucket.on_cut = [100_000], change
    assert prepare(layout, cloud, new).read_bytes() == new
    assert bucket.ranges == ["", "bytes=100000-", ""]


@pytest.mark.parametrize("part", [b"not of it", CONTENT + b"more", CONTENT])
def test_a_part_that_is_wrong_or_whole(
    layout: Layout, cloud: Cloud, bucket: Bucket, part: bytes
) -> None:
    folder = layout.artifacts / NAME / VERSION
    folder.mkdir(parents=True)
    (folder / partial_name("m.bin", digest(CONTENT))).write_bytes(part)
    assert prepare(layout, cloud).read_bytes() == CONTENT
    whole_again = [] if part == CONTENT else [""]
    assert bucket.ranges == [f"bytes={len(part)}-", *whole_again]


def test_a_part_of_another_version_of_the_file_goes(
    layout: Layout, cloud: Cloud, bucket: Bucket
) -> None:
    folder = layout.artifacts / NAME / VERSION
    folder.mkdir(parents=True)
    old = folder / partial_name("m.bin", digest(b"old"))
    other = folder / partial_name("m.bin.txt", digest(b"other"))
    for path in (old, other):
        path.write_bytes(b"part")
    prepare(layout, cloud)
    assert bucket.ranges == [""]
    assert partials(layout) == [other]


def test_a_wrong_object_is_named_after_three_whole_tries(
    layout: Layout, cloud: Cloud, bucket: Bucket
) -> None:
    with pytest.raises(ArtifactError, match=r"s3://bucket/m.bin .* digest differs") as caught:
        prepare(layout, cloud, b"what was published")
    assert caught.value.code == "ARTIFACT_CHECKSUM_MISMATCH"
    assert bucket.ranges == [""] * TRIES
    assert partials(layout) == []


def test_a_refusal_leaves_nothing(layout: Layout, cloud: Cloud, bucket: Bucket) -> None:
    bucket.status = [403]
    with pytest.raises(ArtifactError, match="cannot be downloaded"):
        prepare(layout, cloud)
    assert partials(layout) == []


def test_an_empty_object_is_a_file(layout: Layout, cloud: Cloud, bucket: Bucket) -> None:
    bucket.content = b""
    assert prepare(layout, cloud, b"").read_bytes() == b""


def test_memory_stays_small(layout: Layout, cloud: Cloud, bucket: Bucket) -> None:
    size = 24 * 1024 * 1024
    bucket.content = bytes(size)
    bucket.cuts = [size // 2]
    tracemalloc.start()
    try:
        assert prepare(layout, cloud, bucket.content).stat().st_size == size
        # the server of the test writes slices of its own content: those are half of it each
        spent = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert spent < 2 * size + 6 * downloads.CHUNK


CHILD = """
import asyncio, sys
from pathlib import Path
from ggml_magic.core import artifacts
from ggml_magic.core.cloud import Cloud
from ggml_magic.core.disk import Layout
from ggml_magic.core.recipe import Artifact
layout, endpoint, digest = Layout(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3]
wanted = [Artifact("s3://bucket/m.bin", digest, "SHA-256")]
cloud = Cloud("pi", endpoint, "eu-west-1")
asyncio.run(artifacts.prepare(layout, cloud, "com.example.A", "1.0.0", wanted))
"""


@pytest.mark.real
def test_a_core_that_was_killed_goes_on_after_its_restart(
    layout: Layout, cloud: Cloud, bucket: Bucket, tmp_path: Path
) -> None:
    recipe = {
        "RecipeFormatVersion": "2020-01-25", "ComponentName": NAME, "ComponentVersion": VERSION,
        "Manifests": [{}],
    }  # fmt: skip
    keep(layout, json.dumps(recipe).encode())
    sent, killed = threading.Event(), threading.Event()

    def hold() -> None:
        sent.set()
        killed.wait(20)

    bucket.cuts, bucket.on_cut = [200_000], hold
    words = (layout.root, tmp_path / "endpoint.json", digest(CONTENT))
    child = subprocess.Popen([sys.executable, "-c", CHILD, *map(str, words)])
    assert sent.wait(20)
    folder = layout.artifacts / NAME / VERSION
    part = folder / partial_name("m.bin", digest(CONTENT))
    wait_for(lambda: part.exists() and part.stat().st_size)
    child.kill()
    child.wait()
    killed.set()
    held = part.stat().st_size
    layout.sweep()
    bucket.on_cut = lambda: None
    assert prepare(layout, cloud).read_bytes() == CONTENT
    assert bucket.ranges == ["", f"bytes={held}-"]


@pytest.mark.real
def test_the_sandboxes_store_serves_ranges_and_signed_artifacts(
    workspace: Workspace, layout: Layout
) -> None:
    endpoint = client.ensure(workspace, 5)

    def connect(service: str) -> Any:
        return boto3.client(
            service, region_name="us-east-1", endpoint_url=endpoint.url,
            aws_access_key_id="x", aws_secret_access_key="x", config=Config(proxies={}),
        )  # fmt: skip

    s3 = connect("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="m.bin", Body=CONTENT)
    s3.create_bucket(Bucket="greengrass-component-artifacts")
    s3.put_object(
        Bucket="greengrass-component-artifacts", Key=f"{NAME}/{VERSION}/own.bin", Body=CONTENT
    )
    uris = ("s3://bucket/m.bin", "greengrass:own.bin")
    recipe = {
        "RecipeFormatVersion": "2020-01-25", "ComponentName": NAME, "ComponentVersion": VERSION,
        "Manifests": [{"Artifacts": [{"Uri": uri} for uri in uris]}],
    }  # fmt: skip
    connect("greengrassv2").create_component_version(inlineRecipe=json.dumps(recipe).encode())
    cloud = Cloud("pi", workspace.root / "sandbox" / "endpoint.json", "us-east-1")
    folder = layout.artifacts / NAME / VERSION
    folder.mkdir(parents=True)
    for name in ("m.bin", "own.bin"):
        (folder / partial_name(name, digest(CONTENT))).write_bytes(CONTENT[:1000])

    async def play() -> None:
        found = await cloud.resolve({"os": "linux"}, NAME, {"thing/pi": VERSION})
        assert found.arn.endswith(f":components:{NAME}:versions:{VERSION}")
        keep(layout, found.recipe, found.arn)
        held = json.loads(found.recipe)["Manifests"][0]["Artifacts"]
        wanted = [Artifact(each["Uri"], each["Digest"], each["Algorithm"]) for each in held]
        taken: list[int] = []
        part = folder / partial_name("m.bin", digest(CONTENT))
        place = downloads.Place(uris[0], bucket="bucket", key="m.bin")
        assert await cloud.download(place, part, taken.append) == digest(CONTENT)
        assert taken == [len(CONTENT) - 1000]
        # all of it is here: the store has nothing behind it
        assert await cloud.download(place, part) == digest(CONTENT)
        await artifacts.prepare(layout, cloud, NAME, VERSION, wanted)

    asyncio.run(play())
    assert (folder / "m.bin").read_bytes() == CONTENT
    assert (folder / "own.bin").read_bytes() == CONTENT
