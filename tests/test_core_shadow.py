"""Local shadows (EDGE-CORE 8, Shadow)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.core.shadow import (
    LARGEST_STATE_BYTES,
    MAX_STATE_BYTES,
    Change,
    InvalidShadowError,
    NoShadowError,
    Shadows,
    ShadowTooLargeError,
    VersionConflictError,
    client_token,
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
    times = iter([1.0, 2.0, 3.0, 4.0])
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
    heard: list[Change] = []
    shadows.on_change.append(heard.append)
    update(shadows, state={"reported": {"a": 1}})
    with pytest.raises(InvalidShadowError):
        update(shadows, state={"reported": 1})
    shadows.delete("pi")
    assert [(each.thing, each.name, each.current.version) for each in heard] == [
        ("pi", "", 1),
        ("pi", "", 2),
    ]
    assert heard[0].previous.deleted
    assert heard[1].previous.state == {"reported": {"a": 1}}
    assert heard[1].current.deleted


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
        b'{"state": {}, "version": -1}',
        b'{"state": {}, "version": 1.0}',
        b'{"state": {}, "clientToken": 1}',
        b'{"state": null}',
        b'{"state": {"other": {}}}',
        json.dumps({"state": {}, "clientToken": "t" * 65}).encode(),
        b"\xff\xfe",
        json.dumps({"state": {"reported": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}}})
        .encode()
        .replace(b'{"f": 1}', b'{"f": {"g": 1}}'),
        json.dumps({"state": {"reported": {"a": "x" * 9_000}}}).encode(),
        json.dumps({"state": {"reported": {}}, "other": "x" * 130_000}).encode(),
        b'{"state": {"reported": {"a": [[[[[[1]]]]]]}}}',
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
    ("thing", "name"),
    [("", ""), ("a/b", ""), ("..", ""), ("pi", "../x"), ("x" * 129, ""), ("pi", "n" * 65)],
)
def test_names_that_cannot_be_are_refused(shadows: Shadows, thing: str, name: str) -> None:
    with pytest.raises(InvalidShadowError):
        shadows.update(thing, name, b'{"state": {}}')


def test_a_delta_from_a_client_is_dropped(shadows: Shadows) -> None:
    update(shadows, state={"reported": {"a": 1}, "delta": {"b": 1}})
    assert shadows.get("pi")["state"] == {"reported": {"a": 1}}


def test_the_size_counts_desired_and_reported_and_is_settable(tmp_path: Path) -> None:
    limits = iter([MAX_STATE_BYTES] * 3 + [LARGEST_STATE_BYTES] * 9)
    shadows = Shadows(tmp_path, limit=lambda: next(limits))
    half = MAX_STATE_BYTES // 2 - len('{"a":""}')
    both = {"desired": {"a": "x" * half}, "reported": {"a": "x" * half}}
    update(shadows, state=both)  # exactly as large as it may be
    with pytest.raises(ShadowTooLargeError, match="8192"):
        update(shadows, state={"reported": {"a": "x" * (half + 1)}})
    update(shadows, state={"reported": {"a": "y" * 20_000}})


def test_a_size_is_of_bytes_not_of_escapes(tmp_path: Path) -> None:
    shadows = Shadows(tmp_path)
    update(shadows, state={"reported": {"a": "ä" * 4_000}})  # six bytes each, were they escaped
    with pytest.raises(ShadowTooLargeError):
        update(shadows, state={"reported": {"a": "ä" * 4_100}})


def test_names_of_a_things_shadows_that_are_there(tmp_path: Path) -> None:
    shadows = Shadows(tmp_path)
    for thing, name in (("pi", ""), ("pi", "b"), ("pi", "a:1"), ("pi", "gone"), ("pi2", "x")):
        shadows.update(thing, name, b'{"state": {}}')
    shadows.delete("pi", "gone")
    (tmp_path / "pi.named.a:1.sync.json").write_text("{}")
    assert Shadows(tmp_path).names("pi") == ["a:1", "b"]
    assert shadows.names("nobody") == []


def test_a_deletion_answers_the_version_that_was_deleted(shadows: Shadows) -> None:
    update(shadows, state={"reported": {"a": 1}})
    assert shadows.delete("pi") == {"version": 1, "timestamp": 1_700_000_000}


def test_asking_for_what_is_not_there_leaves_nothing_behind(shadows: Shadows) -> None:
    for number in range(10):
        with pytest.raises(NoShadowError):
            shadows.get("pi", f"n{number}")
    assert not shadows._known


def test_a_token_is_found_where_there_is_one() -> None:
    assert client_token(b'{"clientToken": "t", "state": 1}') == "t"
    assert [client_token(each) for each in (b"{", b"[]", b'{"clientToken": 1}', b"\xff")] == [
        None
    ] * 4


def test_an_update_that_cannot_be_written_changed_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "shadows"
    folder.mkdir()
    shadows = Shadows(folder)
    update(shadows, state={"reported": {"a": 1}})
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="No such file"):
        update(shadows, state={"reported": {"a": 2}})
    (tmp_path / "elsewhere").rename(folder)
    assert shadows.get("pi")["state"] == {"reported": {"a": 1}}
    assert shadows.get("pi")["version"] == 1
