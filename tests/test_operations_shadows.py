"""The IPC operations of ``shadows``, asked by the unmodified ``awsiotsdk``."""

from __future__ import annotations

import json

import pytest
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from ipcs import OTHER, OWN, SOON, Core, client_of_own, core_with_two_components

__all__ = ["client_of_own", "core_with_two_components"]


def test_shadows_by_the_policy_of_the_caller(core: Core, client: GreengrassCoreIPCClientV2) -> None:
    with pytest.raises(model.ResourceNotFoundError):
        client.get_thing_shadow(thing_name="pi")
    sent = json.dumps({"state": {"reported": {"p": 1}}}).encode()
    answer = json.loads(client.update_thing_shadow(thing_name="pi", payload=sent).payload)
    assert answer["version"] == 1
    found = json.loads(client.get_thing_shadow(thing_name="pi").payload)
    assert found["state"] == {"reported": {"p": 1}}
    stale = json.dumps({"state": {}, "version": 7}).encode()
    with pytest.raises(model.ConflictError):
        client.update_thing_shadow(thing_name="pi", payload=stale)
    with pytest.raises(model.InvalidArgumentsError):
        client.update_thing_shadow(thing_name="pi", payload=b"no json")
    refused = f"Principal {OWN} is not authorized to perform aws.greengrass.ShadowManager:"
    with pytest.raises(model.UnauthorizedError) as caught:
        client.delete_thing_shadow(thing_name="pi", shadow_name="")
    assert str(caught.value.message).startswith(refused)
    with pytest.raises(model.UnauthorizedError):
        client.get_thing_shadow(thing_name="other")
    with pytest.raises(model.UnauthorizedError):
        client.get_thing_shadow(thing_name="pi", shadow_name="named")
    other = core.client(OTHER)
    with pytest.raises(model.UnauthorizedError):
        other.get_thing_shadow(thing_name="pi")
    other.close().result(SOON)


def test_a_shadow_is_deleted_by_who_may(core: Core, client: GreengrassCoreIPCClientV2) -> None:
    allowed = {"aws.greengrass.ShadowManager": {"p": {"operations": ["*"], "resources": ["*"]}}}
    tree = core.held.contents.components[OWN].configuration
    tree.merge((), {"accessControl": allowed}, 6)
    client.update_thing_shadow(thing_name="pi", payload=b'{"state": {"reported": {"p": 1}}}')
    assert json.loads(client.delete_thing_shadow(thing_name="pi").payload)["version"] == 1
    with pytest.raises(model.ResourceNotFoundError):
        client.get_thing_shadow(thing_name="pi")
