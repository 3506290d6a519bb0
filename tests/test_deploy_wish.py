"""What a local deployment is to do: as a line, and as the core takes it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from ggml_magic.deploy.wish import Wish, request
from ggml_magic.errors import GrammarError
from ggml_magic.grammar import reading
from ggml_magic.grammar.verb import Call

CONF = {"a": {"MERGE": {"x": "y z"}}}


def test_a_wish_as_a_line_is_that_wish_again() -> None:
    wish = Wish(
        "my recipes", "artifacts", {"a": "^1.0.0 || 2", "b": "1.0.0"}, ("c", "d"), CONF,
        {"a": "me:us", "a:cpus": "0.5"}, "nothing",
    )  # fmt: skip
    line = wish.line("pi")
    call = reading.read(shlex.split(line)[1:], "%ggml", lambda argument, text: text)
    assert isinstance(call, Call)
    found = dict(call.values)
    assert request(Wish(configuration=found.pop("configuration"))) == {
        "componentToConfiguration": CONF,
        "failureHandlingPolicy": "ROLLBACK",
    }
    assert found == {
        "action": "deploy", "thing": "pi", "recipes": "my recipes", "artifacts": "artifacts",
        "component": dict(wish.add), "remove": wish.remove, "run_with": dict(wish.run_with),
        "on_failure": "nothing",
    }  # fmt: skip
    assert Wish().line(None) == "%ggml core deploy"


def test_a_configuration_may_be_a_mapping() -> None:
    assert request(Wish(configuration=CONF))["componentToConfiguration"] == CONF
    with pytest.raises(GrammarError, match="neither a file of JSON nor JSON") as caught:
        request(Wish(add={"a": "1.0.0"}, configuration={"a": object()}))
    assert caught.value.remedy.startswith(
        "%ggml core deploy --component a=1.0.0 --configuration '{"
    )


def test_a_wish_is_what_the_core_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r").mkdir()
    (tmp_path / "c.json").write_text('{"a": {"RESET": [""]}}')
    asked = request(
        Wish(
            "r",
            "r",
            {"a": "1.0.0"},
            ("b",),
            "c.json",
            {"a": "me:us", "b:posixUser": "you", "b:cpus": "0.5", "b:memory": "1024"},
            "nothing",
        )
    )
    assert asked == {
        "recipeDirectoryPath": str(tmp_path / "r"),
        "artifactsDirectoryPath": str(tmp_path / "r"),
        "rootComponentVersionsToAdd": {"a": "1.0.0"},
        "rootComponentsToRemove": ["b"],
        "componentToConfiguration": {"a": {"RESET": [""]}},
        "componentToRunWithInfo": {
            "a": {"posixUser": "me:us"},
            "b": {"posixUser": "you", "systemResourceLimits": {"cpus": 0.5, "memory": 1024}},
        },
        "failureHandlingPolicy": "DO_NOTHING",
    }
    written = request(Wish(configuration=' {"a": {"MERGE": {"x": 1}}}'))
    assert written["componentToConfiguration"] == {"a": {"MERGE": {"x": 1}}}


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(), "nothing to do"),
        (Wish(recipes="/nowhere/at/all"), "--recipes /nowhere/at/all is no folder"),
        (Wish(artifacts="/etc/passwd"), "--artifacts /etc/passwd is no folder"),
        (Wish(configuration="none.json"), "No such file"),
        (Wish(configuration="{x"), "neither a file of JSON nor JSON"),
        (Wish(configuration="x" * 5000), "neither a file of JSON nor JSON"),
        (Wish(configuration="\0"), "neither a file of JSON nor JSON"),
        (Wish(run_with={"a:user": "me"}), "--run-with a:user=me is not understood"),
        (Wish(run_with={"a:cpus": "many"}), "NAME:cpus=NUMBER"),
    ],
)
def test_what_cannot_be_meant_is_said_before_the_core_is_asked(wish: Wish, words: str) -> None:
    with pytest.raises(GrammarError) as caught:
        request(wish)
    assert words in str(caught.value)
    assert caught.value.remedy
    assert len(str(caught.value).splitlines()) == 2
