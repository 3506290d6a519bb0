"""Things, groups and shadows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from ggml_magic.cloud.connect import Cloud, connect
from ggml_magic.cloud.things import ShadowDocument
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    from ggml_magic.sandbox import client

    workspace = Workspace(tmp_path_factory.mktemp("things") / ".ggml")
    yield connect(Settings(), workspace)
    client.stop(workspace)


def test_things_and_groups_are_found_by_name(cloud: Cloud) -> None:
    iot = cloud.things.iot
    assert cloud.things.thing_arn("one") is None
    assert cloud.things.group_arn("all") is None
    arn = iot.call("CreateThing", thingName="one")["thingArn"]
    iot.call("CreateThing", thingName="another")
    group = iot.call("CreateThingGroup", thingGroupName="all")["thingGroupArn"]
    for name in ("one", "another"):
        iot.call("AddThingToThingGroup", thingName=name, thingGroupName="all")
    assert cloud.things.thing_arn("one") == arn
    assert cloud.things.group_arn("all") == group
    assert cloud.things.members("all") == ("another", "one")
    assert set(cloud.things.names()) >= {"one", "another"}
    assert cloud.things.group_names() == ("all",)


def test_a_shadow_is_what_was_reported(cloud: Cloud) -> None:
    cloud.things.iot.call("CreateThing", thingName="shadowed")
    assert cloud.things.shadow("shadowed") == ShadowDocument("shadowed")
    cloud.things.update_shadow("shadowed", {"pressure": 1013.25, "other": 1})
    cloud.things.update_shadow("shadowed", {"pressure": 0.1, "other": None})
    found = cloud.things.shadow("shadowed")
    assert found.reported == {"pressure": 0.1}
    assert found.desired == {}
    assert found.version == 2
    assert found.at > 0


def test_what_is_not_json_is_not_sent(cloud: Cloud) -> None:
    cloud.things.iot.call("CreateThing", thingName="strict")
    with pytest.raises(ValueError, match="JSON"):
        cloud.things.update_shadow("strict", {"pressure": math.nan})
    assert cloud.things.shadow("strict").version == 0
