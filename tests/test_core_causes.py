"""How deployments end, in words and codes."""

from __future__ import annotations

import json

import pytest

from ggml_magic.core import causes
from ggml_magic.core.artifacts import ArtifactError
from ggml_magic.core.causes import InvalidConfigurationError, Result, unchanged
from ggml_magic.core.orders import CapabilityError, DocumentError
from ggml_magic.core.recipe import RecipeError
from ggml_magic.core.resolve import ResolutionError


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (CapabilityError("x"), "NUCLEUS_MISSING_REQUIRED_CAPABILITIES", "REQUEST_ERROR"),
        (DocumentError("x"), "DEPLOYMENT_DOCUMENT_NOT_VALID", None),
        (ResolutionError("x"), "COMPONENT_VERSION_REQUIREMENTS_NOT_MET", "REQUEST_ERROR"),
        (
            ResolutionError("the components depend on each other: a -> b -> a"),
            "COMPONENT_CIRCULAR_DEPENDENCY_ERROR",
            "REQUEST_ERROR",
        ),
        (RecipeError("x"), "RECIPE_PARSE_ERROR", "COMPONENT_RECIPE_ERROR"),
        (ArtifactError("x"), "ARTIFACT_DOWNLOAD_ERROR", None),
        (ArtifactError("x", "DISK_SPACE_CRITICAL"), "DISK_SPACE_CRITICAL", "DEVICE_ERROR"),
        (
            ArtifactError("x", "ARTIFACT_CHECKSUM_MISMATCH"),
            "ARTIFACT_CHECKSUM_MISMATCH",
            "COMPONENT_RECIPE_ERROR",
        ),
        (OSError(28, "No space left on device"), "IO_WRITE_ERROR", "DEVICE_ERROR"),
        (
            InvalidConfigurationError("x"),
            "COMPONENT_CONFIGURATION_NOT_VALID",
            "USER_COMPONENT_ERROR",
        ),
    ],
)
def test_what_failed_before_anything_changed(error: Exception, code: str, kind: str | None) -> None:
    found = unchanged(error)
    assert (found.status, found.detail) == ("FAILED", "FAILED_NO_STATE_CHANGE")
    assert found.cause == str(error)
    assert (found.errors[0], found.errors[-1]) == ("DEPLOYMENT_FAILURE", code)
    assert found.types == ((kind,) if kind else ())


def test_a_recipe_of_a_wrong_shape_is_said_to_be_one() -> None:
    found = unchanged(AttributeError("'str' object has no attribute 'items'"))
    assert found.cause.startswith("a recipe cannot be read: AttributeError(")
    assert found.errors == ("DEPLOYMENT_FAILURE", "RECIPE_PARSE_ERROR")


def test_a_result_comes_back_from_the_disk_as_it_was() -> None:
    result = Result("FAILED", "FAILED_ROLLBACK_COMPLETE", "why", causes.BROKEN)
    assert causes.load(json.loads(json.dumps(result.dump()))) == result
