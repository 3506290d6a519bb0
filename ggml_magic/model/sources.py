"""Stages that the user names by text: files, folders, archives, places in the cloud."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ggml_magic.errors import GrammarError, UnsupportedStageError
from ggml_magic.model import archive
from ggml_magic.model.kerasfile import is_keras, open_keras
from ggml_magic.model.operators import translated
from ggml_magic.model.ready import ReadyFile, open_ready
from ggml_magic.model.saved import open_saved
from ggml_magic.model.scan import SAVED_MODEL_FILE
from ggml_magic.model.stages import LONGEST_REASON
from ggml_magic.workspace import make_private

__all__ = ["Fetch", "ReadyFile", "opened"]

# Gets what is at "s3://bucket/key" or "sagemaker:training-job/NAME" into a folder.
Fetch = Callable[[str, Path], Path]
S3, TRAINING_JOB = "s3://", "sagemaker:training-job/"
KINDS = "a SavedModel folder, a .zip or .tar.gz of one, .keras, .h5 or .tflite"
TFLITE = ".tflite"
# What macOS adds to archives: no models, though they are called so.
HIDDEN = re.compile(r"^(\._.*|__MACOSX)$")
LISTED = 5


@dataclass(frozen=True)
class _Place:
    """A text as it was understood: where the model is, and which signature of it."""

    text: str
    path: str
    signature: str


def opened(
    stages: Sequence[object],
    folder: Path,
    fetch: Fetch | None,
    features: Sequence[str] = (),
) -> tuple[object, ...]:
    """The stages, with every text or path opened into an object that can be called.

    A text is a path, ``s3://bucket/key`` or ``sagemaker:training-job/NAME``, each with
    ``#SIGNATURE`` at its end where a SavedModel has several. What is downloaded or unpacked goes
    into ``folder`` and must stay as long as the stages; ``features`` names the columns of a row,
    for a SavedModel that takes each by name. A .tflite alone becomes a ``ReadyFile``. Raises
    ``UnsupportedStageError`` and ``GrammarError``; what ``fetch`` raises passes through.
    """
    check_present(stages)
    alone = len(stages) == 1
    return tuple(
        _opened(str(stage), folder, fetch, features if i == 0 else (), alone=alone)
        if isinstance(stage, (str, Path))
        else stage
        for i, stage in enumerate(stages)
    )


def check_present(stages: Sequence[object]) -> None:
    """Raise ``GrammarError`` or ``UnsupportedStageError`` for a path where nothing is.

    Nothing is opened, and what is in the cloud is not asked for.
    """
    for stage in stages:
        if isinstance(stage, (str, Path)):
            place = _understood(str(stage))
            if not _is_remote(place.path) and not _exists(place.path):
                raise _absent(place)


def _opened(
    text: str, folder: Path, fetch: Fetch | None, features: Sequence[str], *, alone: bool
) -> object:
    place = _understood(text)
    path = _fetched(place, folder, fetch) if _is_remote(place.path) else Path(place.path)
    if not _exists(str(path)):
        raise _absent(place)
    if archive.is_archive(path) and path.is_file():
        path = _inside(archive.unpack(path, folder), path.name)
    elif path.is_dir():
        path = _inside(path, path.name)
    if path.is_dir():
        return open_saved(path, place.signature, features)
    if place.signature:
        raise GrammarError(
            f"{place.text} names a signature",
            "only a SavedModel has signatures",
            place.path,
        )
    return _file(path, alone=alone)


def _file(path: Path, *, alone: bool) -> object:
    if is_keras(path):
        return open_keras(path)
    if path.suffix.lower() == TFLITE:
        ready = open_ready(path)
        return ready if alone else translated(ready)
    if path.name == SAVED_MODEL_FILE:
        why, remedy = "a SavedModel is the whole folder, with its variables", str(path.parent)
    else:
        why, remedy = f"a stage by path is {KINDS}", "%ggml model NAME PATH…"
    raise UnsupportedStageError(f"{path.name} is no model that is known here", why, remedy)


def _understood(text: str) -> _Place:
    """Split ``PATH#SIGNATURE``; a path that exists with its ``#`` is taken as it is."""
    plain = text.strip()
    if not plain:
        raise GrammarError("an empty text is no stage", f"a stage by path is {KINDS}",
                           "%ggml model NAME STAGE…")  # fmt: skip
    path, _, signature = plain.rpartition("#")
    if not path or (not _is_remote(plain) and _exists(plain)):
        return _Place(plain, plain, "")
    return _Place(plain, path, signature)


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long, or with a NUL in it
        return False


def _is_remote(path: str) -> bool:
    return path.startswith((S3, TRAINING_JOB))


def _fetched(place: _Place, folder: Path, fetch: Fetch | None) -> Path:
    if fetch is None:
        raise GrammarError(
            f"{place.path} is in the cloud, and no cloud is connected here",
            "only the verb can fetch it",
            f"%ggml model NAME {place.path} …, or download it and give the path",
        )
    make_private(folder)
    return fetch(place.path, folder)


def _absent(place: _Place) -> UnsupportedStageError:
    name = place.path[:LONGEST_REASON]
    if re.match(r"^[a-z][a-z0-9+.-]*:", name):
        scheme = name.partition(":")[0]
        return UnsupportedStageError(
            f"{name} cannot be fetched",
            f"{scheme}: is not known; known are {S3}bucket/key and {TRAINING_JOB}NAME",
            "download it and give the path",
        )
    if name.isidentifier():
        return UnsupportedStageError(
            f"there is no file {name!r}, and the text itself is no stage",
            "is it a Python name? Then give the object, not its name as a text",
            f"{name}, without quotes",
        )
    parent = next((p for p in Path(name).parents if _exists(str(p))), Path())
    return UnsupportedStageError(
        f"there is no file or folder {name}", f"what exists of the path is {parent}", f"ls {parent}"
    )


def _inside(folder: Path, name: str) -> Path:
    """The one model in a folder: the folder itself, or what lies deeper in it."""
    found = sorted(_models(folder))
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnsupportedStageError(f"{name} holds no model", f"a model is {KINDS}", f"ls {folder}")
    listed = [str(path.relative_to(folder)) for path in found]
    more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    raise UnsupportedStageError(
        f"{name} holds {len(found)} models",
        f"{', '.join(listed[:LISTED])}{more}",
        f"give the path of one, {Path(name).name}/{listed[0]}, unpacked",
    )


def _models(folder: Path) -> Iterator[Path]:
    """The models in a folder; what lies inside a SavedModel is part of it."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        if (here / SAVED_MODEL_FILE).is_file():
            yield here
            continue
        for path in here.iterdir():
            if HIDDEN.match(path.name):
                continue
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
            elif path.is_file() and (is_keras(path) or path.suffix.lower() == TFLITE):
                yield path
