from __future__ import annotations

from typing import Any

import pytest

from ggml_magic.core.shadowsettings import Place, ShadowSettings, Source, parsed


def test_without_a_configuration_the_cores_classic_shadow_is_followed() -> None:
    assert parsed({}, "core") == ShadowSettings((Place("core"),))


def test_everything_that_can_be_said() -> None:
    found = parsed(
        {
            "synchronize": {
                "coreThing": {"classic": False, "namedShadows": ["a", "b"]},
                "shadowDocuments": [
                    {"thingName": "one", "namedShadows": ["n"]},
                    {"thingName": "two", "classic": "false", "namedShadows": ["m"]},
                ],
                "shadowDocumentsMap": {"three": {"classic": True}},
                "direction": "deviceToCloud",
            },
            "strategy": {"type": "periodic", "delay": "30"},
            "rateLimits": {
                "maxOutboundSyncUpdatesPerSecond": 1,
                "maxTotalLocalRequestsRate": 2,
                "maxLocalRequestsPerSecondPerThing": 3,
            },
            "shadowDocumentSizeLimitBytes": 30720,
        },
        "core",
    )
    places = ("core", "a"), ("core", "b"), ("one", ""), ("one", "n"), ("three", ""), ("two", "m")
    assert found == ShadowSettings(
        tuple(Place(*each) for each in places), "deviceToCloud", 30.0, 1, 2, 3, 30720
    )


def test_keys_are_of_any_case() -> None:
    found = parsed(
        {"SYNCHRONIZE": {"corething": {"CLASSIC": "False", "NamedShadows": ["n"]}}}, "core"
    )
    assert found.followed == (Place("core", "n"),)
    assert parsed({"STRATEGY": {"TYPE": "Periodic"}}, "core").period_seconds == 300


@pytest.mark.parametrize(
    ("configuration", "problem"),
    [
        ({"synchronize": 1}, "synchronize is no map"),
        ({"synchronize": {"direction": "up"}}, "direction"),
        ({"synchronize": {"shadowDocuments": {}}}, None),
        ({"synchronize": {"shadowDocuments": {"a": 1}}}, "no list"),
        ({"synchronize": {"shadowDocuments": [1]}}, "no map"),
        ({"synchronize": {"shadowDocuments": [{"classic": True}]}}, "thing's name"),
        ({"synchronize": {"coreThing": {"namedShadows": "n"}}}, "namedShadows is no list"),
        ({"synchronize": {"coreThing": {"namedShadows": ["a/b"]}}}, "shadow's name"),
        ({"synchronize": {"coreThing": {"classic": "maybe"}}}, "classic"),
        ({"strategy": {"type": "now"}}, "strategy.type"),
        ({"strategy": {"type": "periodic", "delay": 0}}, "delay"),
        ({"rateLimits": {"maxTotalLocalRequestsRate": "many"}}, "maxTotalLocalRequestsRate"),
        ({"shadowDocumentSizeLimitBytes": 30721}, "from 1 to 30720"),
        ({"shadowDocumentSizeLimitBytes": True}, "shadowDocumentSizeLimitBytes"),
        ({"shadowDocumentSizeLimitBytes": float("inf")}, "shadowDocumentSizeLimitBytes"),
    ],
)
def test_what_cannot_be_is_named_and_left_at_its_default(
    configuration: dict[str, Any], problem: str | None
) -> None:
    found = parsed(configuration, "core")
    assert found.followed == (Place("core"),)
    assert any(str(problem) in each for each in found.problems) == bool(problem)
    plain = ShadowSettings((Place("core"),), period_seconds=found.period_seconds)
    assert found == ShadowSettings(**{**vars(plain), "problems": found.problems})


def test_the_settings_are_read_again_when_they_change_and_problems_said_once() -> None:
    configuration: dict[str, Any] = {"strategy": {"type": "x"}}
    said: list[str] = []
    source = Source("core", lambda: dict(configuration), said.append)
    assert source.now is source.now
    assert len(said) == 1
    configuration["strategy"] = {"type": "periodic", "delay": 5}
    assert source.now.period_seconds == 5
    assert len(said) == 1
