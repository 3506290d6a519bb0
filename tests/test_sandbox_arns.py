from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.sandbox import arns, routes, shapes
from ggml_magic.sandbox.faults import ServiceError

MODEL = routes.load("greengrassv2")
NAMES = st.from_regex(r"[a-zA-Z0-9_.-]{1,20}", fullmatch=True)
THING = "arn:aws:iot:eu-west-1:1:thing/pi"


def fits(shape: str, arn: str) -> bool:
    """Whether the service's own model takes the name."""
    return shapes.compiled(MODEL.shape_for(shape).metadata["pattern"]).fullmatch(arn) is not None


@given(NAMES, st.sampled_from(["", "1.0.0", "1.0.0-rc.1"]))
@settings(deadline=None)
def test_a_components_name_is_found_again(name: str, version: str) -> None:
    arn = arns.component("eu-west-1", "123456789012", name, version)
    assert arns.component_of(arn) == (name, version)
    assert fits("ComponentVersionARN" if version else "ComponentARN", arn)


@pytest.mark.parametrize(
    ("arn", "kind", "name"),
    [
        (THING, "thing", "pi"),
        ("arn:aws:iot:eu-west-1:1:thinggroup/stations", "thinggroup", "stations"),
        ("arn:aws:iot:eu-west-1:1:thing/a:b_c-d", "thing", "a:b_c-d"),
    ],
)
def test_a_target_is_taken_apart(arn: str, kind: str, name: str) -> None:
    assert arns.target(arn, "eu-west-1", "1") == arns.Target(kind, name, arn)


@pytest.mark.parametrize(("region", "account"), [("us-east-1", "1"), ("eu-west-1", "2")])
def test_a_strangers_target_is_refused(region: str, account: str) -> None:
    with pytest.raises(ServiceError, match="targetArn") as caught:
        arns.target(THING, region, account)
    assert caught.value.code == "ValidationException"


def test_each_kind_has_its_own_shape() -> None:
    target = arns.target(THING, "eu-west-1", "1")
    place = ("eu-west-1", "1")
    start = "arn:aws:greengrass:eu-west-1:1"
    assert arns.configuration(*place, target, 3) == f"{start}:configuration:thing/pi:3"
    assert arns.deployment(*place, "id") == f"{start}:deployments:id"
    assert arns.core(*place, "pi") == f"{start}:coreDevices:pi"
    assert arns.job(*place, "id") == "arn:aws:iot:eu-west-1:1:job/id"
