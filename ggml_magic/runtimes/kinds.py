"""What a runtime is: the seam between this room and whoever adds one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ggml_magic.device import environment as device_environment
from ggml_magic.device.environment import Pythons

ADAPTERS = Path(device_environment.__file__).parents[1]


class Runtime(Protocol):
    """What an entry point of ``ggml_magic.runtimes`` must be."""

    @property
    def name(self) -> str:
        """The name that users and recipes say."""

    @property
    def version(self) -> str:
        """The exact version that the lock pins."""

    @property
    def requirements(self) -> Path:
        """The hash-locked requirements file; its first line says which Pythons it is for."""

    @property
    def takes(self) -> Literal["tflite", "saved_model"]:
        """The kind of file that it loads."""

    @property
    def module(self) -> str:
        """The module that the adapter loads models with."""

    @property
    def adapter(self) -> str:
        """The module whose ``load(path, module)`` gives a ``device.measure.Loaded``."""

    @property
    def adapters(self) -> Path:
        """The folder that the adapter's module is imported from, in the runtime's environment."""

    @property
    def architectures(self) -> tuple[str, ...]:
        """The machines that it exists for, as ``uname -m`` says them."""

    @property
    def pythons(self) -> tuple[tuple[int, int], tuple[int, int] | None]:
        """The oldest and the newest Python that it runs in; None: no newest."""


@dataclass(frozen=True)
class PinnedRuntime:
    """A runtime that is one version and one lock file."""

    name: str
    version: str
    requirements: Path
    takes: Literal["tflite", "saved_model"] = "tflite"
    module: str = "ai_edge_litert.interpreter"
    adapter: str = "device.interpreter"
    adapters: Path = ADAPTERS
    architectures: tuple[str, ...] = ("x86_64", "aarch64")

    @property
    def pythons(self) -> tuple[tuple[int, int], tuple[int, int] | None]:
        """The oldest and the newest Python, as the lock's first line says them."""
        said = Pythons.of(self.requirements)
        return said.oldest, said.newest
