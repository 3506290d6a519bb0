"""The IPC operations of ``shadows``, asked by the unmodified ``awsiotsdk``, both generations."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from awsiot.greengrasscoreipc import connect, model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from ipcs import OTHER, OWN, SOON, Core, client_of_own, core_with_two_components

__all__ = ["client_of_own", "core_with_two_components"]


def state(**sections: Any) -> bytes:
    return json.dumps({"state": sections}).encode()


@pytest.fixture(name="said")
def what_is_published(core: Core) -> list[tuple[str, dict[str, Any]]]:
    """The shadow topics' messages, in order."""
    said: list[tuple[str, dict[str, Any]]] = []

    def take(event: Mapping[str, Any]) -> None:
        message = event["binaryMessage"]
        content = json.loads(base64.b64decode(message["message"]))
        said.append((message["context"]["topic"], content))

    core.topics.subscribe("$aws/#", take)
    return said


@pytest.fixture(name="free")
def all_is_allowed(core: Core) -> None:
    """A policy for all shadow operations."""
    allowed = {"aws.greengrass.ShadowManager": {"p": {"operations": ["*"], "resources": ["*"]}}}
    tree = core.held.contents.components[OWN].configuration
    tree.merge((), {"accessControl": allowed}, 6)


def test_shadows_by_the_policy_of_the_caller(core: Core, client: GreengrassCoreIPCClientV2) -> None:
    with pytest.raises(model.ResourceNotFoundError) as missing:
        client.get_thing_shadow(thing_name="pi")
    assert missing.value.resource_type == "shadow"
    answer = json.loads(
        client.update_thing_shadow(thing_name="pi", payload=state(reported={"p": 1})).payload
    )
    assert answer["version"] == 1
    found = json.loads(client.get_thing_shadow(thing_name="pi").payload)
    assert found["state"] == {"reported": {"p": 1}}
    assert set(found) == {"state", "metadata", "version", "timestamp"}
    stale = json.dumps({"state": {}, "version": 7}).encode()
    with pytest.raises(model.ConflictError):
        client.update_thing_shadow(thing_name="pi", payload=stale)
    with pytest.raises(model.InvalidArgumentsError):
        client.update_thing_shadow(thing_name="pi", payload=b"no json")
    refused = f"Principal {OWN} is not authorized to perform aws.greengrass.ShadowManager:"
    with pytest.raises(model.UnauthorizedError) as caught:
        client.delete_thing_shadow(thing_name="pi", shadow_name="")
    assert str(caught.value.message).startswith(refused)
    for request in ({"thing_name": "other"}, {"thing_name": "pi", "shadow_name": "named"}):
        with pytest.raises(model.UnauthorizedError):
            client.get_thing_shadow(**request)
    with pytest.raises(model.UnauthorizedError):
        client.list_named_shadows_for_thing(thing_name="pi")
    other = core.client(OTHER)
    with pytest.raises(model.UnauthorizedError):
        other.get_thing_shadow(thing_name="pi")
    other.close().result(SOON)


@pytest.mark.usefixtures("free")
def test_a_deleted_shadow_answers_nothing_and_tells_its_version(
    client: GreengrassCoreIPCClientV2, said: list[tuple[str, dict[str, Any]]]
) -> None:
    client.update_thing_shadow(thing_name="pi", payload=state(reported={"p": 1}))
    said.clear()
    assert client.delete_thing_shadow(thing_name="pi").payload == b""
    with pytest.raises(model.ResourceNotFoundError):
        client.get_thing_shadow(thing_name="pi")
    with pytest.raises(model.ResourceNotFoundError):
        client.delete_thing_shadow(thing_name="pi")
    root = "$aws/things/pi/shadow"
    assert [topic for topic, _ in said] == [
        f"{root}/delete/accepted",
        f"{root}/get/rejected",
        f"{root}/delete/rejected",
    ]
    assert said[0][1]["version"] == 1
    assert said[1][1]["code"] == said[2][1]["code"] == 404


@pytest.mark.usefixtures("free")
def test_every_refusal_is_said_with_its_code_and_token(
    core: Core, client: GreengrassCoreIPCClientV2, said: list[tuple[str, dict[str, Any]]]
) -> None:
    def refused(error: type[Exception], **request: Any) -> tuple[str, int, Any]:
        said.clear()
        with pytest.raises(error):
            client.update_thing_shadow(thing_name="pi", shadow_name="n", **request)
        [(topic, message)] = said
        assert topic == "$aws/things/pi/shadow/name/n/update/rejected"
        return message["message"], message["code"], message.get("clientToken")

    wrong = model.InvalidArgumentsError
    assert refused(wrong, payload=b"{")[1:] == (400, None)
    other = b'{"state": {"other": 1}, "clientToken": "t"}'
    assert refused(wrong, payload=other)[1:] == (400, "t")
    assert refused(wrong, payload=b"")[1] == 400
    large = json.dumps({"state": {"reported": {"a": "x" * 9000}}, "clientToken": "t"}).encode()
    assert refused(wrong, payload=large)[1:] == (413, "t")
    stale = b'{"state": {}, "clientToken": "t", "version": 4}'
    assert refused(model.ConflictError, payload=stale)[1:] == (409, "t")
    nothing: dict[str, Any] = {"aws.greengrass.ShadowManager": {"p": {"operations": []}}}
    core.held.contents.components[OWN].configuration.merge((), {"accessControl": nothing}, 7)
    assert refused(model.UnauthorizedError, payload=state())[:2] == ("Unauthorized", 401)


@pytest.mark.usefixtures("free")
def test_names_that_cannot_be_are_refused_and_not_said(
    client: GreengrassCoreIPCClientV2, said: list[tuple[str, dict[str, Any]]]
) -> None:
    for thing, name in (("a/#", ""), ("x" * 129, ""), ("pi", "a.b"), ("pi", "n" * 65)):
        with pytest.raises(model.InvalidArgumentsError):
            client.get_thing_shadow(thing_name=thing, shadow_name=name)
    assert said == []


@pytest.mark.usefixtures("free")
def test_what_the_manager_is_told_holds_at_once(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    large = state(reported={"a": "x" * 9000})
    with pytest.raises(model.InvalidArgumentsError) as refused:
        client.update_thing_shadow(thing_name="pi", payload=large)
    assert "8192" in str(refused.value.message)
    core.shadow_settings["shadowDocumentSizeLimitBytes"] = 10_000
    client.update_thing_shadow(thing_name="pi", payload=large)


@pytest.mark.usefixtures("free")
def test_too_many_requests_are_refused_and_others_go_on(
    core: Core, client: GreengrassCoreIPCClientV2
) -> None:
    core.shadow_settings["rateLimits"] = {"maxLocalRequestsPerSecondPerThing": 2}

    def flood() -> None:
        for _ in range(1000):
            client.update_thing_shadow(thing_name="pi", payload=state())

    with pytest.raises(model.ServiceError) as refused:
        flood()
    assert refused.value.message == "Too Many Requests"
    client.update_thing_shadow(thing_name="another", payload=state())


@pytest.mark.usefixtures("free")
def test_named_shadows_page_by_page(core: Core, client: GreengrassCoreIPCClientV2) -> None:
    core.shadow_settings["rateLimits"] = {"maxLocalRequestsPerSecondPerThing": 1000}
    names = [f"n{number:02}" for number in range(30)]
    for name in reversed(names):
        client.update_thing_shadow(thing_name="pi", shadow_name=name, payload=state())
    client.update_thing_shadow(thing_name="pi", payload=state())
    client.delete_thing_shadow(thing_name="pi", shadow_name="n07")
    names.remove("n07")

    first = client.list_named_shadows_for_thing(thing_name="pi")
    assert first.results == names[:25]
    assert first.timestamp is not None
    rest = client.list_named_shadows_for_thing(thing_name="pi", next_token=first.next_token)
    assert (rest.results, rest.next_token) == (names[25:], None)

    found: list[str] = []
    token: str | None = ""
    while token is not None:
        page = client.list_named_shadows_for_thing(thing_name="pi", page_size=7, next_token=token)
        found += page.results
        token = page.next_token
    assert found == names
    assert client.list_named_shadows_for_thing(thing_name="nobody").results == []


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize(
    "wrong",
    [{"page_size": 0}, {"page_size": 101}, {"next_token": "x"}, {"next_token": "eHh4eHh4eHh4eHg="}],
)
def test_a_page_that_cannot_be(client: GreengrassCoreIPCClientV2, wrong: dict[str, Any]) -> None:
    with pytest.raises(model.InvalidArgumentsError):
        client.list_named_shadows_for_thing(thing_name="pi", **wrong)


@pytest.mark.usefixtures("free")
def test_a_pages_token_is_of_one_thing(client: GreengrassCoreIPCClientV2) -> None:
    client.update_thing_shadow(thing_name="pi", shadow_name="n", payload=state())
    page = client.list_named_shadows_for_thing(thing_name="pi", page_size=1)
    with pytest.raises(model.InvalidArgumentsError):
        client.list_named_shadows_for_thing(thing_name="other", next_token=page.next_token)


@pytest.mark.usefixtures("free")
def test_the_first_generation_of_the_client_is_served_too(core: Core) -> None:
    client = connect(ipc_socket=str(core.socket), authtoken=f"token {OWN}")
    update = client.new_update_thing_shadow()
    update.activate(
        model.UpdateThingShadowRequest(
            thing_name="pi", shadow_name="n", payload=state(desired={"a": 1})
        )
    )
    assert json.loads(update.get_response().result(SOON).payload)["version"] == 1
    get = client.new_get_thing_shadow()
    get.activate(model.GetThingShadowRequest(thing_name="pi", shadow_name="n"))
    document = json.loads(get.get_response().result(SOON).payload)
    assert document["state"] == {"desired": {"a": 1}, "delta": {"a": 1}}
    listed = client.new_list_named_shadows_for_thing()
    listed.activate(model.ListNamedShadowsForThingRequest(thing_name="pi"))
    assert listed.get_response().result(SOON).results == ["n"]
    delete = client.new_delete_thing_shadow()
    delete.activate(model.DeleteThingShadowRequest(thing_name="pi", shadow_name="n"))
    assert delete.get_response().result(SOON).payload == b""
    client.close().result(SOON)
