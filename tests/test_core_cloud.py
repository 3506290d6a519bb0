"""The device's side of the cloud's APIs, against a server that records what it is asked."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.core.cloud import Cloud, Execution, Notices
from ggml_magic.core.downloads import Place
from ggml_magic.errors import CloudError, UnreachableError

A_B_C = Place("s3://bucket/a b/c.zip", bucket="bucket", key="a b/c.zip")


class Sandbox:
    """Answers with what it is told to, ``(status, headers, body)``."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.hold = threading.Event()
        self.hold.set()
        sandbox = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                sandbox.asked.append(
                    {
                        "method": self.command,
                        "path": self.path,
                        "body": body,
                        "headers": dict(self.headers),
                    }
                )
                sandbox.hold.wait(20)
                status, headers, content = sandbox.answers.pop(0)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_DELETE = do_POST = _serve  # noqa: N815

            def log_message(self, *_: Any) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def will(self, document: Any, status: int = 200, **headers: str) -> None:
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answers.append((status, headers, content))

    def stop(self) -> None:
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox()
    yield made
    made.stop()


@pytest.fixture
def cloud(sandbox: Sandbox, tmp_path: Path) -> Cloud:
    file = tmp_path / "endpoint.json"
    file.write_text(json.dumps({"url": sandbox.url, "pid": 1, "instance": "one"}))
    return Cloud("weather:pi", file, "eu-west-1")


def scope(asked: dict[str, Any]) -> list[str]:
    credential = asked["headers"]["Authorization"].split("Credential=")[1].split(",")[0]
    return list(credential.split("/")[2:])


def test_requests_are_the_services_own(sandbox: Sandbox, cloud: Cloud, tmp_path: Path) -> None:
    async def play() -> list[Any]:
        answers: list[Any] = []
        sandbox.will({"sequence": 7, "jobs": True, "shadow": False})
        answers.append(await cloud.changes(3))
        sandbox.will({"execution": {"jobId": "j", "jobDocument": "{}"}})
        answers.append(await cloud.next_job())
        sandbox.will({})
        answers.append(await cloud.next_job())
        sandbox.will({})
        await cloud.finish_job("j", "SUCCEEDED", {"a": "b"})
        recipe = {
            "arn": "x",
            "componentName": "c",
            "componentVersion": "1.0.0",
            "recipe": base64.b64encode(b"recipe").decode(),
        }
        sandbox.will({"resolvedComponentVersions": [recipe]})
        answers.append((await cloud.resolve({"os": "linux"}, "c", {"g": "^1"})).recipe)
        sandbox.will(b"content")
        answers.append(await cloud.download(A_B_C, tmp_path / "c"))
        sandbox.will({"version": 1})
        await cloud.update_shadow("weather:pi", "", b'{"state": {}}')
        sandbox.will({})
        await cloud.publish_status({"thing": "x"})
        return answers

    digest = base64.b64encode(hashlib.sha256(b"content").digest()).decode()
    assert asyncio.run(play()) == [
        Notices(7, jobs=True, shadow=False), Execution("j", "{}"), None, b"recipe", digest,
    ]  # fmt: skip
    assert (tmp_path / "c").read_bytes() == b"content"
    assert [(each["method"], each["path"]) for each in sandbox.asked] == [
        ("GET", "/_ggml/things/weather%3Api/changes?after=3&wait=25"),
        ("PUT", "/things/weather%3Api/jobs/$next"),
        ("PUT", "/things/weather%3Api/jobs/$next"),
        ("POST", "/things/weather%3Api/jobs/j"),
        ("POST", "/greengrass/v2/resolveComponentCandidates"),
        ("GET", "/bucket/a%20b/c.zip"),
        ("POST", "/things/weather%3Api/shadow"),
        ("POST", "/topics/%24aws%2Fthings%2Fweather%3Api%2Fgreengrassv2%2Fhealth%2Fjson?qos=1"),
    ]
    services = [scope(each)[1] for each in sandbox.asked[1:]]
    assert services == [*["iot-jobs-data"] * 3, "greengrass", "s3", *["iotdata"] * 2]
    assert all(scope(each)[0] == "eu-west-1" for each in sandbox.asked)
    assert all(each["headers"]["User-Agent"].startswith("ggml-core/") for each in sandbox.asked)
    told = json.loads(sandbox.asked[3]["body"])
    assert told == {"status": "SUCCEEDED", "statusDetails": {"a": "b"}}
    assert json.loads(sandbox.asked[4]["body"]) == {
        "platform": {"attributes": {"os": "linux"}},
        "componentCandidates": [{"componentName": "c", "versionRequirements": {"g": "^1"}}],
    }


def test_no_shadow_is_none_and_another_refusal_is_an_error(sandbox: Sandbox, cloud: Cloud) -> None:
    sandbox.will({"message": "no"}, 404, **{"x-amzn-ErrorType": "ResourceNotFoundException:x"})
    assert asyncio.run(cloud.shadow("pi", "")) is None
    sandbox.will({"message": "in use", "__type": "ConflictException"}, 409)
    with pytest.raises(CloudError, match="in use") as caught:
        asyncio.run(cloud.shadow("pi", ""))
    assert caught.value.code == "ConflictException"
    assert not isinstance(caught.value, UnreachableError)
    sandbox.will(b"<html>no", 403)
    with pytest.raises(CloudError, match="<html>no"):
        asyncio.run(cloud.shadow("pi", ""))
    sandbox.will(b"no json")
    with pytest.raises(CloudError, match="no JSON"):
        asyncio.run(cloud.shadow("pi", ""))
    sandbox.will({"sequence": None})
    with pytest.raises(CloudError, match="notice"):
        asyncio.run(cloud.changes(0))


def test_silence_is_unreachable(sandbox: Sandbox, cloud: Cloud, tmp_path: Path) -> None:
    sandbox.will({}, 503)
    with pytest.raises(UnreachableError):
        asyncio.run(cloud.shadow("pi", ""))
    (tmp_path / "endpoint.json").write_text('{"url": "http://127.0.0.1:1"}')
    with pytest.raises(UnreachableError):
        asyncio.run(cloud.shadow("pi", ""))
    for content in ("", "[]", "{}"):
        (tmp_path / "endpoint.json").write_text(content)
        with pytest.raises(UnreachableError):
            asyncio.run(cloud.shadow("pi", ""))
    (tmp_path / "endpoint.json").unlink()
    with pytest.raises(UnreachableError):
        asyncio.run(cloud.shadow("pi", ""))


def test_the_endpoint_is_found_again_elsewhere(
    sandbox: Sandbox, cloud: Cloud, tmp_path: Path
) -> None:
    before = time.monotonic()
    sandbox.will({"version": 1})
    asyncio.run(cloud.shadow("pi", ""))
    assert cloud.instance == "one"
    assert cloud.last_answer >= before
    other = Sandbox()
    other.will({"version": 2})
    (tmp_path / "endpoint.json").write_text(json.dumps({"url": other.url, "instance": "two"}))
    try:
        assert asyncio.run(cloud.shadow("pi", "")) == {"version": 2}
    finally:
        other.stop()
    assert cloud.instance == "two"


def test_a_disk_that_refuses_is_not_taken_for_silence(
    sandbox: Sandbox, cloud: Cloud, tmp_path: Path
) -> None:
    sandbox.will(b"content")
    with pytest.raises(CloudError, match="No such file") as caught:
        asyncio.run(cloud.download(A_B_C, tmp_path / "gone" / "x"))
    assert not isinstance(caught.value, UnreachableError)


def test_closing_ends_a_request_that_waits(sandbox: Sandbox, cloud: Cloud) -> None:
    sandbox.hold.clear()

    async def play() -> float:
        waiting = asyncio.create_task(cloud.changes(0))
        while not sandbox.asked:
            await asyncio.sleep(0.005)
        started = time.monotonic()
        cloud.close()
        with pytest.raises(UnreachableError):
            await waiting
        with pytest.raises(UnreachableError):
            await cloud.shadow("pi", "")
        return time.monotonic() - started

    sandbox.will({})
    assert asyncio.run(play()) < 5


def test_shadows_of_any_thing_and_name(sandbox: Sandbox, cloud: Cloud) -> None:
    async def play() -> list[Any]:
        sandbox.will({"version": 4})
        answers: list[Any] = [await cloud.shadow("a:b", "n")]
        sandbox.will({"version": 5})
        answers.append(await cloud.update_shadow("a:b", "n", b"{}"))
        sandbox.will({})
        await cloud.delete_shadow("a:b", "")
        sandbox.will({"message": "no"}, 404, **{"x-amzn-ErrorType": "ResourceNotFoundException"})
        await cloud.delete_shadow("a:b", "n")
        told = [{"thing": "a:b", "name": "n", "version": 6}]
        sandbox.will({"sequence": 1, "jobs": False, "shadow": True, "shadows": told})
        answers.append((await cloud.changes(0, {"z", "a:b"})).shadows)
        return answers

    assert asyncio.run(play()) == [{"version": 4}, {"version": 5}, (("a:b", "n", 6),)]
    assert [(each["method"], each["path"]) for each in sandbox.asked] == [
        ("GET", "/things/a%3Ab/shadow?name=n"),
        ("POST", "/things/a%3Ab/shadow?name=n"),
        ("DELETE", "/things/a%3Ab/shadow"),
        ("DELETE", "/things/a%3Ab/shadow?name=n"),
        ("GET", "/_ggml/things/weather%3Api/changes?after=0&wait=25&also=a%3Ab&also=z"),
    ]


def test_a_deletion_that_is_refused_is_an_error(sandbox: Sandbox, cloud: Cloud) -> None:
    sandbox.will({"message": "no"}, 403)
    with pytest.raises(CloudError):
        asyncio.run(cloud.delete_shadow("a", ""))


def test_a_signed_address_is_followed_without_a_signature(
    sandbox: Sandbox, cloud: Cloud, tmp_path: Path
) -> None:
    place = Place("greengrass:m.bin", arn="arn:aws:x:components:a:versions:1.0.0", name="m.bin")
    sandbox.will({"preSignedUrl": f"{sandbox.url}/held/m.bin?X-Amz-Signature=1"})
    sandbox.will(b"content")
    asyncio.run(cloud.download(place, tmp_path / "m"))
    assert (tmp_path / "m").read_bytes() == b"content"
    asked, followed = sandbox.asked
    arn = "arn%3Aaws%3Ax%3Acomponents%3Aa%3Aversions%3A1.0.0"
    assert asked["path"] == f"/greengrass/v2/components/{arn}/artifacts/m.bin"
    assert followed["path"] == "/held/m.bin?X-Amz-Signature=1"
    assert "Authorization" not in followed["headers"]
    for answer in ({}, {"preSignedUrl": "file:///etc/passwd"}):
        sandbox.will(answer)
        with pytest.raises(CloudError, match="gave no address for greengrass"):
            asyncio.run(cloud.download(place, tmp_path / "n"))


def test_who_admits_a_download_may_refuse_it_before_anything_is_written(
    sandbox: Sandbox, cloud: Cloud, tmp_path: Path
) -> None:
    def admit(size: int) -> None:
        raise CloudError("no room", f"{size} bytes")

    sandbox.will(b"content")
    with pytest.raises(CloudError, match="7 bytes"):
        asyncio.run(cloud.download(A_B_C, tmp_path / "c", admit))
    assert not (tmp_path / "c").exists()


def test_the_groups_of_the_device_are_asked_for(sandbox: Sandbox, cloud: Cloud) -> None:
    sandbox.will({"thingGroups": [{"thingGroupName": "a"}, {"thingGroupName": "b:c"}]})
    assert asyncio.run(cloud.groups()) == {"a", "b:c"}
    assert sandbox.asked[0]["path"] == "/_ggml/things/weather%3Api/groups"
    sandbox.will({"thingGroups": []})
    assert asyncio.run(cloud.groups()) == frozenset()


def test_a_cloud_that_does_not_know_the_groups_says_nothing_of_them(
    sandbox: Sandbox, cloud: Cloud
) -> None:
    for document, status in (({}, 404), ({}, 503), ({}, 200), ({"thingGroups": [1]}, 200)):
        sandbox.will(document, status)
        assert asyncio.run(cloud.groups()) is None
    sandbox.stop()
    assert asyncio.run(cloud.groups()) is None
