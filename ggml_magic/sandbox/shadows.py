"""IoT's device shadows and the message that a device publishes about itself.

moto has shadows too, but begins their versions anew at every start and cannot be told
otherwise; a device that holds version 900 of its shadow would be out of step for ever.
"""

from __future__ import annotations

import copy
import json
import re
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

from ggml_magic.core import quotas
from ggml_magic.core.document import delta, merge
from ggml_magic.sandbox.broker import RESERVED
from ggml_magic.sandbox.changes import Notices
from ggml_magic.sandbox.devices import Devices
from ggml_magic.sandbox.faults import ServiceError
from ggml_magic.sandbox.gateway import Gateway
from ggml_magic.sandbox.service import Call, Handler
from ggml_magic.sandbox.store import Store, dump

SECTIONS = ("desired", "reported")
# What an update's announcements share with its answer.
ABOUT = ("timestamp", "clientToken")
# IoT's quotas for a shadow's document.
LARGEST_STATE_BYTES = 8 * 1024
DEEPEST_STATE = 8
# In a notice, the version of a shadow that is no more.
DELETED = 0
HEALTH_TOPIC = re.compile(r"\$aws/things/([a-zA-Z0-9:_-]{1,128})/greengrassv2/health/json")


class Shadows:
    """The operations of ``iot-data`` that the sandbox serves."""

    def __init__(
        self,
        store: Store,
        gateway: Gateway,
        devices: Devices,
        notices: Notices,
        publish: Callable[[str, bytes, int], None],
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._devices = devices
        self._notices = notices
        self._publish = publish
        # what is published to the cloud's own topics is a request
        self.on_reserved: Callable[[str, bytes], None] = lambda topic, payload: None

    def handlers(self) -> dict[str, Handler]:
        """Each operation served here."""
        return {
            "GetThingShadow": self.get,
            "UpdateThingShadow": self.update,
            "DeleteThingShadow": self.delete,
            "ListNamedShadowsForThing": self.list_named,
            "Publish": self.publish,
        }

    def _row(self, call: Call) -> sqlite3.Row | None:
        return self._store.row(
            "SELECT * FROM shadows WHERE region = ? AND thing = ? AND name = ?", *_place(call)
        )

    def _living(self, call: Call) -> sqlite3.Row:
        row = self._row(call)
        if row is None or row["deleted"]:
            raise ServiceError(
                "ResourceNotFoundException", 404, f"No shadow exists with name: '{_of(call)}'"
            )
        return row

    def get(self, call: Call) -> dict[str, Any]:
        """GetThingShadow: the state, what of it is still desired, versions and times."""
        row = self._living(call)
        document = json.loads(row["document"])
        state = {name: part for name, part in document["state"].items() if part}
        metadata = {name: part for name, part in document["metadata"].items() if part}
        different = delta(state.get("desired", {}), state.get("reported", {}))
        if different:
            state["delta"] = different
            metadata["delta"] = _picked(metadata["desired"], different)
        return _payload(
            {
                "state": state,
                "metadata": metadata,
                "version": row["version"],
                "timestamp": int(row["updated"]),
            }
        )

    def update(self, call: Call) -> dict[str, Any]:
        """UpdateThingShadow: merges; ``null`` removes; a given version must be the present one."""
        thing = call.parameters["thingName"]
        wanted = _wanted(call.parameters["payload"])
        if not self._gateway.is_thing(call.region, thing):
            raise ServiceError(
                "ResourceNotFoundException", 404, f"thing {thing} does not exist in IoT"
            )
        now = int(time.time())
        with self._store.writing() as database:
            row = self._row(call)
            version = row["version"] if row else 0
            if wanted.get("version") not in (None, version):
                raise ServiceError("ConflictException", 409, f"Version conflict: it is {version}")
            document = json.loads(row["document"]) if row else {"state": {}, "metadata": {}}
            before = {**copy.deepcopy(document), "version": version}
            _merge_document(document, wanted["state"], now)
            if len(dump(document["state"])) > LARGEST_STATE_BYTES:
                raise _too_large()
            _keep(database, call, version + 1, document)
        self._tell(call, version + 1)
        answer = {
            "state": wanted["state"],
            "metadata": {
                name: _stamped(part, now) for name, part in (wanted["state"] or {}).items() if part
            },
            "version": version + 1,
            "timestamp": now,
        }
        if "clientToken" in wanted:
            answer["clientToken"] = wanted["clientToken"]
        self._announce(call, answer, before, {**document, "version": version + 1})
        return _payload(answer)

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteThingShadow; its versions go on where they were, as IoT's do."""
        row = self._living(call)
        with self._store.writing() as database:
            database.execute(
                "UPDATE shadows SET deleted = 1, document = ?, updated = ?"
                " WHERE region = ? AND thing = ? AND name = ?",
                [dump({"state": {}, "metadata": {}}), time.time(), *_place(call)],
            )
        self._tell(call, DELETED)
        answer = {"version": row["version"], "timestamp": int(time.time())}
        self._say(call, "delete/accepted", answer)
        return _payload(answer)

    def list_named(self, call: Call) -> dict[str, Any]:
        """ListNamedShadowsForThing."""
        rows = self._store.rows(
            "SELECT name FROM shadows WHERE region = ? AND thing = ? AND name != ''"
            " AND deleted = 0 ORDER BY name",
            call.region,
            call.parameters["thingName"],
        )
        return {"results": [row["name"] for row in rows], "timestamp": int(time.time())}

    def publish(self, call: Call) -> dict[str, Any]:
        """Publish: fleet status is taken in; all else goes to those who subscribed by MQTT."""
        topic, payload = call.parameters["topic"], call.parameters.get("payload") or b""
        found = HEALTH_TOPIC.fullmatch(topic)
        if found:
            self._devices.take_status(call.region, found[1], payload)
            return {}
        if why := quotas.refusal(topic):
            raise _refused(f"Invalid topic: {why}")
        if len(payload) > quotas.LARGEST_PAYLOAD:
            raise _too_large()
        if topic.startswith(RESERVED):
            self.on_reserved(topic, payload)
        else:
            self._publish(topic, payload, call.parameters.get("qos") or 0)
        return {}

    def _announce(
        self,
        call: Call,
        answer: dict[str, Any],
        before: dict[str, Any],
        after: dict[str, Any],
    ) -> None:
        """Publish on the shadow's topics what an update changed."""
        self._say(call, "update/accepted", answer)
        about: dict[str, Any] = {key: answer[key] for key in ABOUT if key in answer}
        self._say(call, "update/documents", {"previous": before, "current": after, **about})
        state, metadata = after["state"], after["metadata"]
        different = delta(state.get("desired", {}), state.get("reported", {}))
        if different:
            stamps = _picked(metadata["desired"], different)
            found = {"state": different, "metadata": stamps, "version": after["version"], **about}
            self._say(call, "update/delta", found)

    def _say(self, call: Call, what: str, document: Mapping[str, Any]) -> None:
        name = call.parameters.get("shadowName")
        shadow = f"{call.parameters['thingName']}/shadow" + (f"/name/{name}" if name else "")
        self._publish(f"$aws/things/{shadow}/{what}", json.dumps(document).encode(), 0)

    def _tell(self, call: Call, version: int) -> None:
        """Tell the devices; who did this itself knows the version that it made."""
        _, thing, name = _place(call)
        self._notices.tell_shadow(thing, name, version)


def _merge_document(document: dict[str, Any], state: Mapping[str, Any] | None, now: int) -> None:
    if state is None:  # a state of null clears the shadow
        document["state"], document["metadata"] = {}, {}
        return
    for name in SECTIONS:
        if name not in state:
            continue
        if state[name] is None:
            document["state"].pop(name, None)
            document["metadata"].pop(name, None)
            continue
        merge(document["state"].setdefault(name, {}), state[name])
        stamps = document["metadata"].setdefault(name, {})
        _merge_stamps(stamps, state[name], now)


def _merge_stamps(stamps: dict[str, Any], change: Mapping[str, Any], now: int) -> None:
    """Times of the last change: an object has one per leaf, a leaf its own."""
    for key, value in change.items():
        if value is None:
            stamps.pop(key, None)
        elif isinstance(value, dict):
            inner = stamps.get(key)
            kept = inner if isinstance(inner, dict) and not _is_stamp(inner) else {}
            _merge_stamps(kept, value, now)
            stamps[key] = kept
        else:
            stamps[key] = _stamped(value, now)


def _is_stamp(value: Mapping[str, Any]) -> bool:
    return set(value) == {"timestamp"} and isinstance(value["timestamp"], int)


def _stamped(value: Any, now: int) -> Any:
    if isinstance(value, dict):
        return {key: _stamped(item, now) for key, item in value.items()}
    if isinstance(value, list):
        return [_stamped(item, now) for item in value]
    return {"timestamp": now}


def _picked(stamps: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _picked(stamps[key], value)
        if isinstance(value, dict) and isinstance(stamps.get(key), dict)
        else stamps.get(key)
        for key, value in wanted.items()
    }


def _wanted(payload: bytes) -> dict[str, Any]:
    """An update's document, refused where IoT refuses it."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        raise _refused("Payload contains invalid json") from None
    if not isinstance(document, dict) or "state" not in document:
        raise _refused("Missing required node: state")
    state = document["state"]
    if state is None:
        return document
    if not isinstance(state, dict):
        raise _refused("State node must be an object")
    state.pop("delta", None)
    unknown = sorted(state.keys() - set(SECTIONS))
    if unknown:
        raise _refused(f"State contains an invalid node: '{unknown[0]}'")
    if any(part is not None and not isinstance(part, dict) for part in state.values()):
        raise _refused("State's desired and reported must be objects")
    if len(payload) > LARGEST_STATE_BYTES * 2:
        raise _too_large()
    if _deeper(state, DEEPEST_STATE):
        raise _refused(f"JSON contains too many levels of nesting; maximum is {DEEPEST_STATE}")
    return document


def _deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)):
        return False
    return levels == 0 or any(_deeper(item, levels - 1) for item in inner)


def _keep(
    database: sqlite3.Connection, call: Call, version: int, document: Mapping[str, Any]
) -> None:
    database.execute(
        "INSERT OR REPLACE INTO shadows VALUES (?, ?, ?, ?, 0, ?, ?)",
        [*_place(call), version, dump(document), time.time()],
    )


def _place(call: Call) -> tuple[str, str, str]:
    name = call.parameters.get("shadowName") or ""
    return call.region, call.parameters["thingName"], name


def _of(call: Call) -> str:
    name = call.parameters.get("shadowName")
    return f"{call.parameters['thingName']}{'~' + name if name else ''}"


def _payload(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"payload": json.dumps(document).encode()}


def _refused(message: str) -> ServiceError:
    return ServiceError("InvalidRequestException", 400, message)


def _too_large() -> ServiceError:
    return ServiceError(
        "RequestEntityTooLargeException", 413, "The payload exceeds the maximum size allowed"
    )
