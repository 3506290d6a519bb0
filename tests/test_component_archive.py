from __future__ import annotations

import os
import zipfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.component.archive import write_zip

NAMES = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?", fullmatch=True)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(NAMES, st.binary(max_size=100), max_size=5), st.randoms())
def test_what_goes_in_comes_out_the_same_bytes_in_any_order(tmp_path_factory, entries, random):
    folder = tmp_path_factory.mktemp("zip")
    shuffled = list(entries.items())
    random.shuffle(shuffled)
    write_zip(folder / "one.zip", entries)
    write_zip(folder / "two.zip", dict(shuffled))
    assert (folder / "one.zip").read_bytes() == (folder / "two.zip").read_bytes()
    with zipfile.ZipFile(folder / "one.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == entries
        assert archive.namelist() == sorted(entries)


def test_a_files_time_owner_and_mode_leave_no_trace(tmp_path: Path) -> None:
    source = tmp_path / "model.tflite"
    source.write_bytes(b"weights" * 1000)
    write_zip(tmp_path / "one.zip", {"model.tflite": source})
    os.utime(source, (10**9, 10**9))
    source.chmod(0o600)
    write_zip(tmp_path / "two.zip", {"model.tflite": source})
    write_zip(tmp_path / "three.zip", {"model.tflite": source.read_bytes()})
    one, two, three = ((tmp_path / f"{n}.zip").read_bytes() for n in ("one", "two", "three"))
    assert one == two == three
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        (entry,) = archive.infolist()
        assert entry.external_attr >> 16 == 0o100644 and entry.date_time[0] == 1980
        assert archive.testzip() is None
