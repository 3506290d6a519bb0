"""What a component's scripts see (EDGE-CORE 5)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ggml_magic.core import environment
from ggml_magic.core.environment import component_environment, device_path


def made(own: dict[str, str]) -> dict[str, str]:
    return component_environment(
        own, thing="pi", region="eu-west-1", socket=Path("/gg/ipc.socket"), run="r1"
    )


def test_a_component_gets_the_nucleus_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "CERTIFICATES", ())
    found = made({"PATH": "/usr/bin", "HOME": "/home/me", "LANG": "C.UTF-8"})
    assert found == {
        "PATH": "/usr/bin", "HOME": "/home/me", "LANG": "C.UTF-8",
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": "/gg/ipc.socket",
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH": "/gg/ipc.socket",
        "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_IOT_THING_NAME": "pi",
        "GGC_VERSION": found["GGC_VERSION"], "GGML_CORE_RUN": "r1",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
     "AWS_SESSION_TOKEN", "AWS_PROFILE", "CONDA_PREFIX", "SECRET", "PIP_TARGET",
     "PIP_REQUIRE_VIRTUALENV", "JUPYTER_TOKEN", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
     "AWS_CONTAINER_AUTHORIZATION_TOKEN", "GREENGRASS_COMPONENT_VERSION"],
)  # fmt: skip
def test_nothing_of_the_notebook_is_handed_on(name: str) -> None:
    assert name not in made({"PATH": "/usr/bin", name: "x"})


def test_the_certificates_are_those_named_or_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, system = tmp_path / "named.pem", tmp_path / "system.pem"
    system.touch()
    monkeypatch.setattr(environment, "CERTIFICATES", (str(tmp_path / "none"), str(system)))
    own = {"PATH": "/usr/bin", "SSL_CERT_FILE": str(named)}
    assert made(own)["GG_ROOT_CA_PATH"] == str(system)
    named.touch()
    assert made(own)["GG_ROOT_CA_PATH"] == str(named)


def test_how_this_machine_reaches_a_package_index_is_handed_on() -> None:
    own = {"PATH": "/usr/bin", "PIP_INDEX_URL": "i", "HTTPS_PROXY": "p", "SSL_CERT_FILE": "c"}
    assert own.items() <= made(own).items()


def test_the_notebooks_python_is_not_the_devices(tmp_path: Path) -> None:
    for name in ("venv", "conda", "device"):
        (tmp_path / name / "bin").mkdir(parents=True)
        python = tmp_path / name / "bin" / "python3"
        python.write_text("#!/bin/sh\n")
        python.chmod(0o755)
    entries = [str(tmp_path / name / "bin") for name in ("venv", "conda", "device")]
    own = {
        "PATH": os.pathsep.join([str(Path(sys.prefix) / "bin"), *entries]),
        "VIRTUAL_ENV": str(tmp_path / "venv"), "CONDA_PREFIX": str(tmp_path / "conda"),
    }  # fmt: skip
    kept = device_path(own).split(os.pathsep)
    assert kept[-1] == entries[-1]
    assert not set(entries[:2]) & set(kept)
    if sys.prefix != sys.base_prefix:
        assert kept == entries[-1:]


def test_with_no_other_python_the_one_behind_the_environment_is_taken(tmp_path: Path) -> None:
    own = {"PATH": str(tmp_path), "VIRTUAL_ENV": str(tmp_path / "v")}
    assert device_path(own).split(os.pathsep) == [
        str(tmp_path), str(Path(sys.base_prefix) / "bin")
    ]  # fmt: skip
