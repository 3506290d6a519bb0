from __future__ import annotations

from pathlib import Path

from ggml_magic.device.measure import peak_bytes


def test_the_peak_is_what_the_system_says_of_this_process() -> None:
    status = Path("/proc/self/status").read_text()
    assert peak_bytes() >= int(status.split("VmHWM:")[1].split()[0]) * 1024 > 1_000_000
