"""Components that this core is itself: recipes may depend on them, deployments configure them.

The versions are those whose behaviour it follows; their lifecycle is empty, so they are finished
at once. Their default configuration is the documented one, as far as the core heeds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ggml_magic.core.platforms import Dialect
from ggml_magic.core.recipe import TYPES, Recipe

NUCLEUS, NUCLEUS_LITE = "aws.greengrass.Nucleus", "aws.greengrass.NucleusLite"
NUCLEI = (NUCLEUS, NUCLEUS_LITE)
SHADOW_MANAGER, CLI = "aws.greengrass.ShadowManager", "aws.greengrass.Cli"
VERSIONS: Mapping[Dialect, Mapping[str, str]] = {
    "classic": {NUCLEUS: "2.18.0", SHADOW_MANAGER: "2.3.11", CLI: "2.18.0"},
    "lite": {NUCLEUS_LITE: "2.6.0"},
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    NUCLEUS: {
        "componentStoreMaxSizeBytes": "10000000000",
        "interpolateComponentConfiguration": False,
        "platformOverride": {},
        "runWithDefault": {"posixShell": "sh"},
    },
    SHADOW_MANAGER: {
        "strategy": {"type": "realTime"},
        "synchronize": {},
        "rateLimits": {
            "maxOutboundSyncUpdatesPerSecond": 100,
            "maxTotalLocalRequestsRate": 200,
            "maxLocalRequestsPerSecondPerThing": 20,
        },
        "shadowDocumentSizeLimitBytes": 8192,
    },
}


def versions(dialect: Dialect) -> Mapping[str, str]:
    """The provided components of a dialect, with the version of each."""
    return VERSIONS[dialect]


def has(name: str, version: str) -> bool:
    """Whether a core of some dialect is this component version itself."""
    return any(each.get(name) == version for each in VERSIONS.values())


def recipe(name: str, dialect: Dialect) -> Recipe:
    """The recipe of a provided component; raises ``KeyError`` for any other."""
    kind = TYPES[3] if name in NUCLEI else TYPES[2]
    # it suits every device
    manifests = ({"Platform": {"runtime": "*"}, "Lifecycle": {}},)
    return Recipe(name, VERSIONS[dialect][name], DEFAULTS.get(name, {}), (), manifests, {}, kind)
