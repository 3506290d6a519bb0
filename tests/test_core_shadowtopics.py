"""What is published about shadows, and in which order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ggml_magic.core.shadow import Shadows
from ggml_magic.core.shadowtopics import SENDER, ShadowTopics

NOW = 1_700_000_000
STAMP = {"timestamp": NOW}


class Place:
    """Shadows whose topics are written down."""

    def __init__(self, folder: Path) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.topics = ShadowTopics(self._publish, lambda: NOW)
        self.shadows = Shadows(folder, clock=lambda: NOW)
        self.shadows.on_change.append(self.topics.changed)

    def _publish(self, topic: str, payload: bytes, sender: str) -> None:
        assert sender == SENDER
        self.said.append((topic, json.loads(payload)))

    def update(self, name: str = "", **request: Any) -> dict[str, Any]:
        return self.shadows.update("pi", name, json.dumps(request).encode())


def test_an_update_says_delta_documents_and_accepted(tmp_path: Path) -> None:
    place = Place(tmp_path)
    answer = place.update(
        state={"desired": {"a": 1, "b": {"c": 2}}, "reported": {"b": {"c": 2}}}, clientToken="t"
    )
    root = "$aws/things/pi/shadow/update"
    current = {
        "state": {"desired": {"a": 1, "b": {"c": 2}}, "reported": {"b": {"c": 2}}},
        "metadata": {
            "desired": {"a": STAMP, "b": {"c": STAMP}},
            "reported": {"b": {"c": STAMP}},
        },
        "version": 1,
    }
    about = {"timestamp": NOW, "clientToken": "t"}
    assert place.said == [
        (f"{root}/delta", {"version": 1, "state": {"a": 1}, "metadata": {"a": STAMP}, **about}),
        (f"{root}/documents", {"previous": None, "current": current, **about}),
        (f"{root}/accepted", answer),
    ]


def test_there_is_no_delta_without_a_difference_and_the_document_before_is_told(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    place.update("n", state={"desired": {"a": 1}})
    place.said.clear()
    place.update("n", state={"reported": {"a": 1}})
    assert [topic for topic, _ in place.said] == [
        "$aws/things/pi/shadow/name/n/update/documents",
        "$aws/things/pi/shadow/name/n/update/accepted",
    ]
    documents = place.said[0][1]
    assert documents["previous"]["state"] == {"desired": {"a": 1}}
    assert (documents["previous"]["version"], documents["current"]["version"]) == (1, 2)
    assert "clientToken" not in documents


def test_a_deletion_says_its_version_and_a_new_life_has_no_document_before(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    place.update(state={"reported": {"a": 1}})
    place.said.clear()
    place.shadows.delete("pi")
    assert place.said == [
        ("$aws/things/pi/shadow/delete/accepted", {"version": 1, "timestamp": NOW})
    ]
    place.update(state={"reported": {"a": 1}})
    assert place.said[1][1]["previous"] is None


def test_reading_and_refusing_are_said(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.topics.got("pi", "n", {"state": {}})
    place.topics.rejected("pi", "", "update", 409, "version conflict", "t")
    place.topics.rejected("pi", "", "get", 404, "none")
    refused = {"code": 409, "message": "version conflict", "timestamp": NOW, "clientToken": "t"}
    assert place.said == [
        ("$aws/things/pi/shadow/name/n/get/accepted", {"state": {}}),
        ("$aws/things/pi/shadow/update/rejected", refused),
        (
            "$aws/things/pi/shadow/get/rejected",
            {"code": 404, "message": "none", "timestamp": NOW},
        ),
    ]
