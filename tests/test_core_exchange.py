"""What a local deployment brings takes its place, and leaves it again (EDGE-CORE 7)."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from ggml_magic.core import exchange, packages
from ggml_magic.core.disk import Layout
from ggml_magic.core.packages import ArtifactError, Room
from ggml_magic.core.store_import import look

A = "com.example.A"
RECIPE = """RecipeFormatVersion: 2020-01-25
ComponentName: {name}
ComponentVersion: 1.0.0
ComponentDescription: {text}
Manifests: [{{Platform: {{os: linux}}}}]
"""


class Scene:
    """A store with version 1.0.0 of a component, and folders with another 1.0.0 of it."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder / "root")
        self.layout.make()
        self.recipes, self.artifacts = folder / "recipes", folder / "artifacts"
        self.aside = self.layout.deployments / "d.brought"
        old = RECIPE.format(name=A, text="old").encode()
        packages.keep(self.layout, old, "arn:of-the-cloud")
        self.write(self.layout.artifacts / A / "1.0.0" / "x.zip", "old")
        self.write(self.layout.unarchived / A / "1.0.0" / "x" / "inner", "old")
        for name in (A, "com.example.B"):
            self.write(self.recipes / f"{name}.yml", RECIPE.format(name=name, text="new"))
            self.write(self.artifacts / name / "1.0.0" / "x.zip", "new")
        (self.artifacts / A / "1.0.0" / "x.zip").chmod(0o755)
        self.before = self.seen()
        self.room = Room(self.layout)

    @staticmethod
    def write(file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def seen(self) -> dict[str, bytes]:
        """Every file of the packages."""
        root = self.layout.root / "packages"
        files = (path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): path.read_bytes() for path in files}

    def stage(self) -> None:
        found = look(self.layout, self.recipes, self.artifacts, "classic")
        exchange.stage(self.layout, found, self.aside, self.room)

    def publish(self) -> None:
        exchange.publish(self.layout, self.aside)

    def undo(self) -> None:
        exchange.undo(self.layout, self.aside)


@pytest.fixture(name="scene")
def store_and_folders(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_what_is_staged_takes_its_place_and_what_came_from_the_old_goes(scene: Scene) -> None:
    scene.stage()
    assert scene.seen() == scene.before
    assert exchange.staged(scene.aside)
    scene.publish()
    after = scene.seen()
    assert b"new" in after[f"recipes/{A}-1.0.0.yaml"]
    assert after[f"artifacts/{A}/1.0.0/x.zip"] == b"new"
    assert after["artifacts/com.example.B/1.0.0/x.zip"] == b"new"
    assert (scene.layout.artifacts / "com.example.B").stat().st_mode & 0o777 == 0o700
    # it is no version of the cloud's any more, and what was unpacked is not its content
    assert not any("arn" in name or "unarchived" in name for name in after)
    assert (scene.layout.artifacts / A / "1.0.0" / "x.zip").stat().st_mode & 0o777 == 0o700
    exchange.forget(scene.aside)
    assert scene.seen() == after
    assert not scene.aside.exists()
    scene.undo()
    assert scene.seen() == after


def test_undone_the_packages_are_what_they_were(scene: Scene) -> None:
    scene.stage()
    scene.publish()
    # the deployment unpacked it anew before it failed
    scene.write(scene.layout.unarchived / A / "1.0.0" / "x" / "other", "new")
    scene.undo()
    assert scene.seen() == scene.before
    assert not scene.aside.exists()


def test_undone_after_the_deployer_has_tidied(scene: Scene) -> None:
    scene.stage()
    scene.publish()
    packages.tidy(scene.layout, [])
    assert scene.seen() == {}
    scene.undo()
    assert scene.seen() == scene.before


def test_the_same_content_again_touches_no_artifact(scene: Scene) -> None:
    (scene.artifacts / A / "1.0.0" / "x.zip").write_text("old")
    scene.stage()
    scene.publish()
    inner = f"artifacts-unarchived/{A}/1.0.0/x/inner"
    assert scene.seen()[inner] == b"old"
    assert (scene.layout.artifacts / A / "1.0.0" / "x.zip").stat().st_mode & 0o777 != 0o700


class Killed(BaseException):
    """The core's death, which nothing in it can catch."""


def cut(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Die instead of the rename or removal with that number."""
    count = [0]

    def counted(name: str) -> Callable[..., object]:
        real = getattr(Path, name)

        def dies(self: Path, *rest: object, **named: object) -> object:
            count[0] += 1
            if count[0] > after:
                raise Killed
            return real(self, *rest, **named)

        return dies

    for name in ("replace", "unlink"):
        monkeypatch.setattr(Path, name, counted(name))


@pytest.mark.parametrize("after", range(16))
def test_killed_at_any_moment_it_is_finished_or_undone_by_the_next(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    scene.stage()
    with monkeypatch.context() as patched:
        cut(patched, after)
        with contextlib.suppress(Killed):
            scene.publish()
    if after % 2:
        scene.publish()
        assert scene.seen()[f"artifacts/{A}/1.0.0/x.zip"] == b"new"
        assert b"new" in scene.seen()[f"recipes/{A}-1.0.0.yaml"]
    with monkeypatch.context() as patched:
        cut(patched, after)
        with contextlib.suppress(Killed):
            scene.undo()
    scene.undo()
    assert scene.seen() == scene.before


def test_half_a_copy_is_not_taken_for_a_whole_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*paths: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("shutil.copyfile", full)
        with pytest.raises(OSError, match="No space"):
            scene.stage()
    assert not exchange.staged(scene.aside)
    assert scene.seen() == scene.before
    scene.stage()
    assert exchange.staged(scene.aside)


def test_what_there_is_no_room_for_is_not_copied(scene: Scene) -> None:
    # a store that is full already: no test may try a full disk
    scene.room = Room(scene.layout, store_bytes=1)
    with pytest.raises(ArtifactError, match="no room for the artifacts"):
        scene.stage()
    assert not exchange.staged(scene.aside)
    assert scene.seen() == scene.before
