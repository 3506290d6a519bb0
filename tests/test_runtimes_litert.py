from __future__ import annotations

import re

from ggml_magic.runtimes.litert import LITERT

LOCK = LITERT.requirements.read_text()
PINS = re.findall(r"^([a-z0-9._-]+)==(\S+)", LOCK, re.MULTILINE)


def test_the_lock_pins_the_runtime_and_what_a_device_needs() -> None:
    assert (LITERT.name, LITERT.version) in PINS
    assert {"numpy", "awsiotsdk", "awscrt"} <= {name for name, _ in PINS}


def test_no_tensorflow_goes_to_a_device() -> None:
    assert not [name for name, _ in PINS if "tensorflow" in name]


def test_every_pin_has_hashes_and_nothing_names_a_host() -> None:
    for entry in re.split(r"\n(?=[a-z])", LOCK.split("\n", 1)[1]):
        assert "--hash=sha256:" in entry, entry
    assert "://" not in LOCK and "index" not in LOCK
