"""The Install step: build this component's environment, then prove the model in it.

Run by the device's own ``python3`` at every start of the core, so what is done is not done
again. A failure is one line on stderr and exit code 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from . import environment

SELF_TEST_SECONDS = 120
PROVEN = "proven.txt"
REQUIREMENTS = "requirements.txt"
# what the self-test's outcome depends on, beside the environment
TESTED = ("model.tflite", "contract.json", "golden.json", "component.json")


class InstallError(Exception):
    """The component cannot run here; the text is one line."""


def main() -> int:
    """Install; the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    try:
        install(Path(__file__).resolve().parent.parent, parser.parse_args().work)
    except (environment.BuildError, InstallError) as error:
        print(f"install failed: {error}", file=sys.stderr)
        return 1
    return 0


def install(component: Path, work: Path) -> None:
    """Make ``work`` ready to run the component that lies in a folder."""
    python = environment.build(work, component / REQUIREMENTS)
    proof = _proof(component, python)
    stamp = work / PROVEN
    if stamp.exists() and stamp.read_text() == proof:
        return
    _self_test(component, python)
    aside = work / f".{PROVEN}"
    aside.write_text(proof)
    aside.replace(stamp)
    # only now: until the new one is proven, the old one is what a rollback needs
    environment.prune(work, python)


def _proof(component: Path, python: Path) -> str:
    """A hash of all that the self-test depends on.

    Raises ``InstallError`` when the model is not the file that was packaged.
    """
    hashes = {name: _sha256(component / name) for name in TESTED}
    expected = json.loads((component / "component.json").read_text())["file_sha256"]
    if hashes["model.tflite"] != expected:
        raise InstallError("model.tflite is not the file that was proven: its SHA-256 differs")
    return json.dumps({**hashes, "python": str(python)}, sort_keys=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise InstallError(f"{path.name}: {error.strerror}") from error
    return digest.hexdigest()


def _self_test(component: Path, python: Path) -> None:
    command = [str(python), "-B", "-m", "device.selftest", str(component)]
    variables = {**environment.clean_environment(), "PYTHONPATH": str(component)}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=variables,
            timeout=SELF_TEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InstallError(f"the self-test did not end within {SELF_TEST_SECONDS} s") from None
    if done.returncode:
        raise InstallError(_reason(done))
    print(done.stdout.strip(), flush=True)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"the self-test died of signal {-done.returncode}"
    return (done.stderr.strip().splitlines() or ["the self-test said nothing"])[-1]


if __name__ == "__main__":
    sys.exit(main())
