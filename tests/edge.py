"""What the tests of the device share: small real models, and the core's end of the wire."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from ggml_magic.component import inference, package
from ggml_magic.core.wire import Frame, MessageType, decode, encode
from ggml_magic.device.contract import Contract, Decision, Feature
from ggml_magic.runtimes import runtime
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

# Run in the runtime's environment, which brings the schema: sigmoid(rows @ weights.T + bias).
# A batch of 0 is a model that takes any number of rows.
WRITE_MODEL = """
import json, sys
import flatbuffers, numpy as np
from ai_edge_litert import schema_py_generated as schema
path, weights, bias, batch = sys.argv[1], *map(json.loads, sys.argv[2:])
weights, bias = np.float32(weights), np.float32(bias)
outputs, features = weights.shape
def made(kind, **values):
    made = kind()
    for name, value in values.items():
        setattr(made, name, value)
    return made
def buffer(values):
    return made(schema.BufferT, data=np.frombuffer(values.tobytes(), np.uint8))
def tensor(name, width):
    any_size = {} if batch else {"shapeSignature": [-1, width]}
    return made(schema.TensorT, name=name, shape=[batch or 1, width], buffer=0, **any_size)
def constant(name, shape, at):
    return made(schema.TensorT, name=name, shape=shape, buffer=at)
def code(builtin):
    return made(schema.OperatorCodeT, builtinCode=builtin, deprecatedBuiltinCode=builtin, version=1)
graph = made(schema.SubGraphT,
    tensors=[tensor("x", features), constant("w", [outputs, features], 1),
             constant("b", [outputs], 2), tensor("h", outputs), tensor("y", outputs)],
    inputs=[0], outputs=[4],
    operators=[
        made(schema.OperatorT, opcodeIndex=0, inputs=[0, 1, 2], outputs=[3],
             builtinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
             builtinOptions=schema.FullyConnectedOptionsT()),
        made(schema.OperatorT, opcodeIndex=1, inputs=[3], outputs=[4])])
model = made(schema.ModelT, version=3, subgraphs=[graph],
    operatorCodes=[code(schema.BuiltinOperator.FULLY_CONNECTED),
                   code(schema.BuiltinOperator.LOGISTIC)],
    buffers=[schema.BufferT(), buffer(weights), buffer(bias)])
builder = flatbuffers.Builder(1024)
builder.Finish(model.Pack(builder), b"TFL3")
open(path, "wb").write(builder.Output())
"""


@contextmanager
def environment(folder: Path) -> Iterator[Path]:
    """The Python of the runtime's environment: the cache's where one is named, else a new one."""
    with pytest.MonkeyPatch.context() as patch:
        if "GGML_CACHE" not in os.environ:
            patch.setenv("GGML_CACHE", str(folder))
        yield runtime.environment(runtime.get()).python


def write_model(
    python: Path, path: Path, weights: list[list[float]], bias: list[float], batch: int = 0
) -> Path:
    """A real model: ``sigmoid(rows @ weights.T + bias)``, for any or exactly ``batch`` rows."""
    arguments = [json.dumps(value) for value in (weights, bias, batch)]
    subprocess.run([python, "-c", WRITE_MODEL, path, *arguments], check=True)
    return path


def proven(folder: Path, model: Path, rows: Any, outputs: Any) -> tuple[Any, Any, Any]:
    """A model called rain, its conversion and its proof, as packaging takes them."""
    names = [f"f{at}" for at in range(len(rows[0]))]
    features = tuple(Feature(name, "m", -1.0, -0.9, 0.9, 1.0, 0.0) for name in names)
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    vectors = folder / "reports" / "ai-edge-litert.golden.json"
    vectors.parent.mkdir(exist_ok=True)
    golden = {"rows": rows, "outputs": outputs, "tolerance": 1e-5, "file_sha256": sha256}
    vectors.write_text(json.dumps(golden))
    return (
        SimpleNamespace(
            name="rain",
            contract=Contract(features, Decision("threshold", 0.5)),
            sha256="0" * 64,
            folder=folder,
        ),
        SimpleNamespace(file=model, chosen="float32"),
        SimpleNamespace(
            passed=True,
            reasons=(),
            file_sha256=sha256,
            runtime="ai-edge-litert",
            runtime_version="2.3.0",
        ),
    )


@dataclass(frozen=True)
class Device:
    """A component unpacked as a core would, and its work folder with a built environment."""

    component: Path
    work: Path

    def run(self, module: str, **variables: str) -> subprocess.Popen[str]:
        """Start ``install`` or ``launch`` as the recipe does."""
        command = [sys.executable, "-B", "-m", f"device.{module}", "--work", str(self.work)]
        return subprocess.Popen(
            command,
            cwd=self.work,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(self.component), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def device(folder: Path, python: Path, code: str | None = None) -> Device:
    """A device with the model ``sigmoid(f0 - f1)`` on it."""
    workspace = Workspace(folder / ".ggml")
    model = write_model(python, folder / "float32.tflite", [[1.0, -1.0]], [0.0])
    rows = [[0.0, 1.0], [1.0, 0.0], [2.0, 2.5]]
    outputs = [[1 / (1 + math.exp(b - a))] for a, b in rows]
    if code is not None:
        inference.store(workspace, "rain", code)
    facts = proven(folder, model, rows, outputs)
    bundle = package.package(workspace, Settings(), *facts, interval_seconds=0.05, published={})
    made = Device(folder / "unpacked" / "rain", folder / "work")
    with zipfile.ZipFile(bundle.root.artifacts[0].path) as archive:
        archive.extractall(made.component)
    made.work.mkdir()
    # the environment that the proof used is the very one that the device would build
    built = python.parent.parent
    (made.work / built.name).symlink_to(built)
    return made


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What the condition gives once it is true; fails when that takes too long."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        threading.Event().wait(0.005)
    return value


class Peer:
    """The other end of a component's IPC: one thing's shadow and one configuration.

    Only what the harness calls is answered. The whole core is tested elsewhere.
    """

    def __init__(self, path: Path, configuration: dict[str, Any]) -> None:
        self.path = path
        self.configuration = configuration
        self.reported: dict[str, Any] | None = None
        self.calls: list[str] = []
        self.refusing: set[str] = set()
        self._connections: list[socket.socket] = []
        self.listen()

    def listen(self) -> None:
        """Begin to answer."""
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.path))
        self._server.listen()
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def close(self) -> None:
        """Hang up, and answer nobody any more."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.path.unlink()
        for connection in self._connections:
            with suppress(OSError):  # the component hung up before
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as stream:
            while (frame := _frame(stream)) is not None:
                connection.sendall(encode(self._answer(frame)))

    def _answer(self, frame: Frame) -> Frame:
        stream = frame.number(":stream-id")
        if frame.number(":message-type") == MessageType.CONNECT:
            return _head(MessageType.CONNECT_ACK, 1, stream)
        if frame.number(":message-flags"):
            return _head(MessageType.APPLICATION_MESSAGE, 2, stream)
        operation = frame.text("operation").removeprefix("aws.greengrass#")
        self.calls.append(operation)
        name, body = self._operation(operation, json.loads(frame.payload or b"{}"))
        failed = name.endswith("Error")
        kind = MessageType.APPLICATION_ERROR if failed else MessageType.APPLICATION_MESSAGE
        head = _head(kind, 2 if failed else 0, stream)
        shape = {
            ":content-type": "application/json",
            "service-model-type": f"aws.greengrass#{name}",
        }
        return Frame({**head.headers, **shape}, json.dumps(body).encode())

    def _operation(self, operation: str, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if operation in self.refusing:
            return "ServiceError", {"message": "not now"}
        if operation == "GetConfiguration":
            return f"{operation}Response", {"componentName": "c", "value": self.configuration}
        if operation == "UpdateThingShadow":
            self._update(json.loads(base64.b64decode(request["payload"])))
        if operation == "GetThingShadow":
            if self.reported is None:
                return "ResourceNotFoundError", {"message": "no shadow"}
            document = json.dumps({"state": {"reported": self.reported}}).encode()
            return f"{operation}Response", {"payload": base64.b64encode(document).decode()}
        return f"{operation}Response", {}

    def _update(self, document: dict[str, Any]) -> None:
        self.reported = merged(self.reported or {}, document["state"]["reported"])


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """As a shadow merges: maps deeply, and ``None`` removes."""
    result = dict(old)
    for key, value in new.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            held = result.get(key)
            result[key] = merged(held if isinstance(held, dict) else {}, value)
        else:
            result[key] = value
    return result


def _head(kind: MessageType, flags: int, stream: int) -> Frame:
    return Frame({":message-type": int(kind), ":message-flags": flags, ":stream-id": stream})


def _frame(stream: BinaryIO) -> Frame | None:
    try:
        length = stream.read(4)
        rest = stream.read(int.from_bytes(length, "big") - 4) if len(length) == 4 else b""
    except OSError:
        return None
    return decode(length + rest) if rest else None
