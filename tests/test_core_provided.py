"""Components that the core is itself."""

from __future__ import annotations

import pytest

from ggml_magic.core import provided, recipe
from ggml_magic.core.platforms import DIALECTS, Dialect, device_platform
from ggml_magic.core.versions import is_version


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_suits_its_device_and_does_nothing(dialect: Dialect) -> None:
    for name, version in provided.versions(dialect).items():
        found = provided.recipe(name, dialect)
        assert (found.name, found.version) == (name, version)
        assert is_version(version)
        assert recipe.choose(found, device_platform(dialect=dialect)) == ({}, ())
        assert recipe.choose(found, {"os": "windows", "runtime": "*"})[0] == {}


def test_the_documented_defaults_can_be_configured() -> None:
    assert provided.recipe(provided.NUCLEUS, "classic").defaults["platformOverride"] == {}
    shadows = provided.recipe(provided.SHADOW_MANAGER, "classic").defaults
    assert shadows["shadowDocumentSizeLimitBytes"] == 8192


def test_no_other_is_provided() -> None:
    with pytest.raises(KeyError):
        provided.recipe("aws.greengrass.TokenExchangeService", "classic")
    with pytest.raises(KeyError):
        provided.recipe(provided.NUCLEUS, "lite")
