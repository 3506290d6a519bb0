from __future__ import annotations

import pytest
from sandboxes import (
    Connect,
    component,
    component_arn,
    own_store,  # noqa: F401  # pytest finds fixtures by their names
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
)

from ggml_magic.sandbox import tags
from ggml_magic.sandbox.service import Call
from ggml_magic.sandbox.store import Store


def test_tags_belong_to_one_resource_and_go_with_it(store: Store) -> None:
    with store.writing() as database:
        tags.put(database, "arn:one", {"b": "2", "a": "1"})
        tags.put(database, "arn:two", {"a": "other"})
        tags.put(database, "arn:one", {"a": "changed"})
    assert tags.of(store, "arn:one") == {"a": "changed", "b": "2"}
    with store.writing() as database:
        tags.drop(database, "arn:one")
    assert tags.of(store, "arn:one") == {}
    assert tags.of(store, "arn:two") == {"a": "other"}


def test_the_operations_change_what_is_shown(store: Store) -> None:
    handlers = tags.Tags(store).handlers()

    def ask(operation: str, **parameters: object) -> object:
        return handlers[operation](Call({"resourceArn": "arn:one", **parameters}, "eu-west-1"))

    ask("TagResource", tags={"a": "1", "b": "2", "c": "3"})
    ask("UntagResource", tagKeys=["a", "c", "never there"])
    assert ask("ListTagsForResource") == {"tags": {"b": "2"}}


@pytest.mark.real
def test_a_components_tags_end_with_it(aws: Connect) -> None:
    greengrass = aws("greengrassv2")
    name = component(aws)
    arn = component_arn(name)
    greengrass.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
    greengrass.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert greengrass.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}
    greengrass.delete_component(arn=arn)
    component(aws, name=name)
    assert greengrass.list_tags_for_resource(resourceArn=arn)["tags"] == {}
