"""A thing's shadow, shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ggml_magic.cloud.connect import Cloud, connect
from ggml_magic.errors import TargetNotFoundError
from ggml_magic.observe.shadow import Shadow, read
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace


def test_a_card_shows_each_value_and_the_cloud() -> None:
    found = Shadow(
        "pi",
        "sandbox",
        {"rain_prediction": 1, "rain_error": "no 'humidity'"},
        {"interval": 2},
        7,
        "2026-01-02T03:04:05+00:00",
    )
    lines = [line.split() for line in str(found).splitlines()]
    assert lines[0][:4] == ["shadow", "of", "thing/pi", "on"]
    assert "sandbox: version 7" in str(found)
    assert ["reported", "rain_prediction", "1"] in lines
    assert ["desired", "interval", "2"] in lines
    empty = Shadow("pi", "sandbox", {}, {}, 0, "")
    assert "nothing was reported yet" in str(empty)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    from ggml_magic.sandbox import client

    workspace = Workspace(tmp_path_factory.mktemp("shadow") / ".ggml")
    yield connect(Settings(), workspace)
    client.stop(workspace)


@pytest.mark.real
def test_what_was_reported_is_read(cloud: Cloud) -> None:
    cloud.things.iot.call("CreateThing", thingName="pi")
    assert read(cloud, "pi").at == ""
    cloud.things.update_shadow("pi", {"pressure": 1013.25})
    found = read(cloud, "pi")
    assert (found.reported, found.version) == ({"pressure": 1013.25}, 1)
    assert found.at.endswith("+00:00")


@pytest.mark.real
def test_a_thing_that_does_not_exist_is_told(cloud: Cloud) -> None:
    with pytest.raises(TargetNotFoundError, match="no thing nobody on sandbox") as failed:
        read(cloud, "nobody")
    assert failed.value.remedy == "%ggml sandbox core nobody"
    cloud.things.iot.call("CreateThing", thingName="house-pi")
    with pytest.raises(TargetNotFoundError, match="no thing hous-pi") as failed:
        read(cloud, "hous-pi")
    assert failed.value.remedy == "%ggml shadow house-pi"
