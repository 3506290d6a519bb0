"""``.keras`` files and old ``.h5`` files, read with Keras' safe mode and a look inside first."""

from __future__ import annotations

import importlib
import importlib.util
import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ggml_magic.errors import MissingExtraError, UnsupportedStageError
from ggml_magic.model.archive import Bounds
from ggml_magic.model.salvage import first_line
from ggml_magic.model.stages import ANSI, LONGEST_REASON
from ggml_magic.model.training import quiet, tensorflow

SUFFIXES = (".keras", ".h5", ".hdf5")
CODE = "it is Python code of the notebook that saved it, and would run here unseen"
TABLE = "lookup tables and the like have no place on the device"
# Classes that are not even handed to Keras, and why.
REFUSED = {
    "Lambda": CODE,
    "__lambda__": CODE,
    "TorchModuleWrapper": CODE,
    "JaxLayer": CODE,
    "FlaxLayer": CODE,
    "TFSMLayer": "it loads another model from a path of its own",
    "StringLookup": TABLE,
    "IntegerLookup": TABLE,
    "TextVectorization": TABLE,
}


def is_keras(path: Path) -> bool:
    """Whether the name says that Keras saved it."""
    return path.suffix.lower() in SUFFIXES


def open_keras(path: Path) -> Any:
    """The Keras model in a ``.keras`` or ``.h5`` file; nothing in it is run as Python.

    Raises ``UnsupportedStageError`` for a damaged file, for a layer that is code and for one
    that Keras does not know; ``MissingExtraError`` where it takes Keras 2, which is not there.
    """
    tensorflow()
    try:
        version, config = _told(path)
        _check_layers(path, config)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, RuntimeError) as error:
        raise _damaged(path, error) from error
    keras = _keras(path, version)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Keras' own code, about numpy
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise UnsupportedStageError(
            f"Keras {keras.__version__} cannot load {path.name}",
            ANSI.sub("", first_line(error))[:LONGEST_REASON],
            "load it in the notebook with its custom objects, and give the model itself",
        ) from error


def _told(path: Path) -> tuple[str, Any]:
    """The version of Keras that saved the file, and its layers as JSON."""
    if path.suffix.lower() == ".keras":
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > Bounds().size:
                raise ValueError("it holds far more than a model")
            version = json.loads(archive.read("metadata.json"))["keras_version"]
            return str(version), json.loads(archive.read("config.json"))
    h5py = importlib.import_module("h5py")
    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ValueError("it holds weights only, and no model")
        return str(file.attrs.get("keras_version", "2")), json.loads(file.attrs["model_config"])


def _damaged(path: Path, error: Exception) -> UnsupportedStageError:
    said = first_line(error).strip("'\"")
    return UnsupportedStageError(
        f"{path.name} is no Keras model that can be read", said, f'model.save("{path.stem}.keras")'
    )


def _check_layers(path: Path, config: Any) -> None:
    found = next((name for name in _classes(config) if name in REFUSED), None)
    if found is not None:
        raise UnsupportedStageError(
            f"{path.name} is not loaded: it holds a {found.strip('_')} layer".replace(
                "lambda", "Lambda"
            ),
            REFUSED[found],
            "build the model in the notebook and give the model itself, not its file",
        )


def _classes(config: Any) -> Iterator[str]:
    """Every class that a configuration names, without module and registration."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            name = part.get("class_name")
            if isinstance(name, str):
                yield name.rpartition(">")[2].rpartition(".")[2]
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _keras(path: Path, version: str) -> Any:
    """Keras 3, or Keras 2 for a ``.keras`` file that Keras 2 saved."""
    if not (version.startswith("2") and path.suffix.lower() == ".keras"):
        return importlib.import_module("keras")
    if importlib.util.find_spec("tf_keras") is None:
        raise MissingExtraError(
            f"{path.name} was saved by Keras {version}",
            "Keras 3 does not read such files",
            "pip install tf-keras",
        )
    return importlib.import_module("tf_keras")
