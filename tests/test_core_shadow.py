"""Local shadows (EDGE-CORE 8, Shadow)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.core.shadow import (
    InvalidShadowError,
    NoShadowError,
    Shadows,
    VersionConflictError,
)


@pytest.fixture
def shadows(tmp_path: Path) -> Shadows:
    return Shadows(tmp_path, clock=lambda: 1_700_000_000.5)


def update(shadows: Shadows, **request: Any) -> dict[str, Any]:
    return shadows.update("pi", "", json.dumps(request).encode())


def test_a_shadow_grows_by_updates(shadows: Shadows) -> None:
    answer = update(shadows, state={"reported": {"p": 1, "deep": {"x": 1}}}, clientToken="t")
    now = {"timestamp": 1_700_000_000}
    assert answer == {
        "state": {"reported": {"p": 1, "deep": {"x": 1}}},
        "metadata": {"reported": {"p": now, "deep": {"x": now}}},
        "version": 1,
        "timestamp": 1_700_000_000,
        "clientToken": "t",
    }
    update(shadows, state={"desired": {"p": 2}, "reported": {"deep": {"y": 2}}})
    found = shadows.get("pi")
    assert found["state"] == {
        "desired": {"p": 2},
        "reported": {"p": 1, "deep": {"x": 1, "y": 2}},
        "delta": {"p": 2},
    }
    assert found["version"] == 2


def test_null_deletes_a_key_a_section_and_their_metadata(shadows: Shadows) -> None:
    update(shadows, state={"reported": {"a": 1, "b": {"c": 1}}, "desired": {"a": 1}})
    update(shadows, state={"reported": {"a": None, "b": {"c": None}}, "desired": None})
    found = shadows.get("pi")
    assert found["state"] == {"reported": {"b": {}}}
    assert found["metadata"] == {"reported": {"b": {}}}


def test_metadata_keeps_the_time_of_what_was_not_touched(tmp_path: Path) -> None:
    times = iter([1.0, 2.0, 3.0])
    shadows = Shadows(tmp_path, clock=lambda: next(times))
    update(shadows, state={"reported": {"a": 1, "b": {"c": 1}}})
    update(shadows, state={"reported": {"a": 2, "b": 5}})
    update(shadows, state={"reported": {"b": {"d": 1}}})
    assert shadows.get("pi")["metadata"]["reported"] == {
        "a": {"timestamp": 2},
        "b": {"d": {"timestamp": 3}},
    }


def test_a_version_must_be_the_present_one(shadows: Shadows) -> None:
    update(shadows, state={"reported": {"a": 1}}, version=0)
    with pytest.raises(VersionConflictError):
        update(shadows, state={"reported": {"a": 2}}, version=0)
    update(shadows, state={"reported": {"a": 2}}, version=1)
    assert shadows.get("pi")["version"] == 2


def test_a_deleted_shadow_is_gone_and_its_version_is_not(shadows: Shadows) -> None:
    update(shadows, state={"reported": {"a": 1}})
    shadows.delete("pi")
    with pytest.raises(NoShadowError):
        shadows.get("pi")
    with pytest.raises(NoShadowError):
        shadows.delete("pi")
    assert update(shadows, state={"reported": {"b": 1}})["version"] == 3
    assert shadows.get("pi")["state"] == {"reported": {"b": 1}}


def test_shadows_are_kept_on_the_disk_apart_by_name(tmp_path: Path) -> None:
    first = Shadows(tmp_path)
    update(first, state={"reported": {"a": 1}})
    first.update("pi", "named", b'{"state": {"reported": {"n": 1}}}')
    again = Shadows(tmp_path)
    assert again.get("pi")["state"] == {"reported": {"a": 1}}
    assert again.get("pi", "named")["state"] == {"reported": {"n": 1}}
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in tmp_path.iterdir())


def test_listeners_hear_of_changes_and_only_of_changes(shadows: Shadows) -> None:
    heard: list[tuple[str, str]] = []
    shadows.on_change.append(lambda thing, name: heard.append((thing, name)))
    update(shadows, state={"reported": {"a": 1}})
    with pytest.raises(InvalidShadowError):
        update(shadows, state={"reported": 1})
    shadows.delete("pi")
    assert heard == [("pi", ""), ("pi", "")]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{",
        b'{"state": 1}',
        b'{"state": {"reported": []}}',
        b'{"states": {}}',
        b'{"state": {"reported": {"a": NaN}}}',
        b'{"state": {}, "version": "1"}',
        b'{"state": {}, "version": true}',
        b"\xff\xfe",
        json.dumps({"state": {"reported": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}}})
        .encode()
        .replace(b'{"f": 1}', b'{"f": {"g": 1}}'),
        json.dumps({"state": {"reported": {"a": "x" * 9_000}}}).encode(),
        json.dumps({"state": {"reported": {}}, "other": "x" * 31_000}).encode(),
        b'{"a":' * 100_000,
    ],
)
def test_a_payload_that_cannot_be_is_refused_and_changes_nothing(
    shadows: Shadows, payload: bytes
) -> None:
    with pytest.raises(InvalidShadowError):
        shadows.update("pi", "", payload)
    with pytest.raises(NoShadowError):
        shadows.get("pi")


@pytest.mark.parametrize(
    ("thing", "name"), [("", ""), ("a/b", ""), ("..", ""), ("pi", "../x"), ("x" * 129, "")]
)
def test_names_that_cannot_be_are_refused(shadows: Shadows, thing: str, name: str) -> None:
    with pytest.raises(InvalidShadowError):
        shadows.update(thing, name, b'{"state": {}}')


def test_a_delta_from_a_client_is_dropped(shadows: Shadows) -> None:
    update(shadows, state={"reported": {"a": 1}, "delta": {"b": 1}})
    assert shadows.get("pi")["state"] == {"reported": {"a": 1}}
