"""Settings: where they come from, and what they refuse."""

from __future__ import annotations

import pytest

from ggml_magic import settings
from ggml_magic.errors import SettingsError
from ggml_magic.workspace import Workspace, write_json


def test_defaults_name_the_sandbox(workspace: Workspace) -> None:
    assert settings.load(workspace) == settings.Settings()
    assert settings.load(workspace).cloud == "sandbox"


def test_the_workspace_keeps_a_change(workspace: Workspace) -> None:
    settings.store(workspace, {"cloud": "aws", "idle_minutes": "5"})
    loaded = settings.load(workspace)
    assert (loaded.cloud, loaded.idle_minutes) == ("aws", 5.0)


def test_the_environment_goes_above_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.store(workspace, {"cloud": "aws"})
    monkeypatch.setenv("GGML_CLOUD", "sandbox")
    assert settings.load(workspace).cloud == "sandbox"


def test_credentials_change_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert settings.load(workspace).cloud == "sandbox"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cloud", "azure"),
        ("region", "Ireland"),
        ("bucket", "with.dots"),
        ("bucket", "ab"),
        ("prefix", "a b"),
        ("idle_minutes", "0"),
        ("idle_minutes", "soon"),
        ("colour", "red"),
    ],
)
def test_a_bad_value_is_refused_and_not_kept(workspace: Workspace, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.store(workspace, {name: value})
    assert name in str(caught.value)
    assert caught.value.remedy.startswith("%ggml config")
    assert settings.load(workspace) == settings.Settings()


def test_a_slip_of_the_pen_is_told_what_was_meant(workspace: Workspace) -> None:
    with pytest.raises(SettingsError, match=r"did you mean region\?") as caught:
        settings.store(workspace, {"regoin": "eu-west-2"})
    assert caught.value.remedy == "%ggml config region=eu-west-2"
    with pytest.raises(SettingsError) as caught:
        settings.store(workspace, {"xyzzy": "1"})
    assert "did you mean" not in str(caught.value) and caught.value.remedy == "%ggml config"


@pytest.mark.parametrize(("name", "value"), [("cloud", "awss"), ("idle_minutes", "soon")])
def test_a_bad_variable_is_mended_where_it_is(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    variable = f"GGML_{name.upper()}"
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"{name} cannot be '{value}', as {variable}") as caught:
        settings.load(workspace)
    assert caught.value.remedy == f"unset {variable}"


def test_a_good_variable_hides_what_the_workspace_keeps(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(workspace.root / settings.SETTINGS_FILE, {"cloud": "azure"})
    monkeypatch.setenv("GGML_CLOUD", "aws")
    assert settings.load(workspace).cloud == "aws"
    monkeypatch.delenv("GGML_CLOUD")
    with pytest.raises(SettingsError) as caught:
        settings.load(workspace)
    assert caught.value.remedy == "%ggml config cloud=sandbox"


def test_the_card_names_every_setting(workspace: Workspace) -> None:
    text = str(settings.load(workspace))
    assert all(name in text for name in settings.NAMES)
