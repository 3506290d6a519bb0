"""The front-end modules and the pipelines ship in the wheel as data of the package.

They live at the top of the checkout, where people look for them; setup.cfg alone can only ship
what lies inside the package, or would give editable installs an import hook that no type
checker reads.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DATA = ("widgets", "pipelines")


class BuildWithData(build_py):
    """Copies the data folders to ``ggml_magic/data``."""

    def run(self) -> None:
        """Build the package, then its data, unless the checkout itself is installed."""
        if not self.editable_mode:
            # what an earlier build left there would be shipped as well
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if self.editable_mode:
            return
        for folder in DATA:
            target = Path(self.build_lib) / "ggml_magic" / "data" / folder
            shutil.copytree(folder, target, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithData})
