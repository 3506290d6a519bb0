"""The environment that a component's scripts see (EDGE-CORE 5).

Only what is named here is handed on: neither the notebook's virtual environment nor anyone's AWS
credentials reach a component. AWS_CONTAINER_CREDENTIALS_FULL_URI is not set: this core has no
token exchange service, and a component that asks for credentials is to fail as on a device that
has none, not to find those of the person at this machine.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

# The nucleus whose behaviour this core follows.
GGC_VERSION = "2.18.0"
# Which run of a core a process belongs to; a guard kills by it. And which life of a component.
RUN, LIFE = "GGML_CORE_RUN", "GGML_CORE_LIFE"
SOCKET = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
SOCKET_CLASSIC = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH"
TOKEN = "SVCUID"  # noqa: S105  # a name
# Set for an uninstall only, as the classic nucleus does.
VERSION = "GREENGRASS_COMPONENT_VERSION"
# The certificates that this machine trusts: those that were named, then where systems keep them.
NAMED_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
# A device's own settings: its user, its language, how it reaches a package index.
PASSED = (
    "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    "http_proxy", "https_proxy", "no_proxy", "all_proxy",
)  # fmt: skip
PASSED_PREFIX = "PIP_"
# With this set pip refuses to install outside a virtual environment of someone's own making.
NOT_PASSED = ("PIP_REQUIRE_VIRTUALENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")


def component_environment(
    own: Mapping[str, str], *, thing: str, region: str, socket: Path, run: str
) -> dict[str, str]:
    """What all components of a core have in common; ``own`` is the core's environment."""
    passed = {
        name: value
        for name, value in own.items()
        if name in PASSED or (name.startswith(PASSED_PREFIX) and name not in NOT_PASSED)
    }
    return {
        **passed,
        **_certificates(own),
        "PATH": device_path(own),
        SOCKET: str(socket),
        SOCKET_CLASSIC: str(socket),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_IOT_THING_NAME": thing,
        "GGC_VERSION": GGC_VERSION,
        RUN: run,
    }


def _certificates(own: Mapping[str, str]) -> dict[str, str]:
    candidates = (*(own.get(name, "") for name in NAMED_CERTIFICATES), *CERTIFICATES)
    found = next((path for path in candidates if path and Path(path).is_file()), None)
    return {"GG_ROOT_CA_PATH": found} if found else {}


def device_path(own: Mapping[str, str]) -> str:
    """PATH without the notebook's environment, so that ``python3`` is the device's."""
    named = (
        own.get("VIRTUAL_ENV"),
        own.get("CONDA_PREFIX"),
        sys.prefix if sys.prefix != sys.base_prefix else None,
    )
    dropped = {os.path.realpath(Path(prefix) / "bin") for prefix in named if prefix}
    entries = own.get("PATH", os.defpath).split(os.pathsep)
    kept = os.pathsep.join(entry for entry in entries if os.path.realpath(entry) not in dropped)
    if shutil.which("python3", path=kept):
        return kept
    # no other Python on this machine than the one that the environment was made from
    return os.pathsep.join(filter(None, (kept, str(Path(sys.base_prefix) / "bin"))))
