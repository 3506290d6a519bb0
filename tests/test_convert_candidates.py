"""Files that are kept and known again."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from ggml_magic.convert import candidates
from ggml_magic.convert.candidates import Candidate, Conversion
from ggml_magic.convert.static import Operator, StaticReport
from ggml_magic.device.contract import Contract, Decision, Feature
from ggml_magic.model.model import EdgeModel, Provenance


@pytest.fixture
def model(tmp_path: Path) -> EdgeModel:
    contract = Contract((Feature("a", "", 0, 0, 1, 1, 0.5),), Decision("threshold"))
    return EdgeModel(
        "rain", contract, "0" * 64, tmp_path, Provenance("", "", None, "", "", 1, None)
    )


def test_a_file_is_known_by_its_bytes_and_its_rows(model: EdgeModel) -> None:
    assert candidates.kept(model, "int8", "rows") is None
    candidates.keep(model, "int8", b"bytes", representative="rows", one_row=True)
    made = candidates.kept(model, "int8", "rows")
    assert made is not None and made.sha256 == hashlib.sha256(b"bytes").hexdigest()
    assert candidates.kept(model, "int8", "other rows") is None
    assert candidates.candidate(model, "int8").note == "takes one row at a time"
    candidates.path(model, "int8").write_bytes(b"touched")
    assert candidates.kept(model, "int8", "rows") is None


def test_a_conversion_comes_back_as_it_was(model: EdgeModel) -> None:
    candidates.keep(model, "float32", b"bytes")
    plain = candidates.candidate(model, "float32")
    endless = Candidate(**{**vars(plain), "flips": 3, "max_abs_diff": float("inf")})
    conversion = Conversion(
        "rain", model.sha256, (endless,), "float32", "Why.", None, (("int8", "no"),), 9, "r 1"
    )
    candidates.store(model, conversion)
    assert candidates.load(model) == conversion


def test_the_card_marks_the_chosen_one() -> None:
    def of(variant: str, size: int, flips: int | None) -> Candidate:
        return Candidate(variant, Path(variant), "0" * 64, size, flips=flips)

    found = (of("float32", 4000, 0), of("dynamic", 1200, 0), of("float16", 2100, None))
    failed = (("int8", "the converter crashed"),)
    lines = str(
        Conversion("rain", "0", found, "dynamic", "Why.", None, failed, 9, "r 1")
    ).splitlines()
    assert lines[0] == "rain: dynamic was chosen, 1,200 B"
    assert [line.split()[0] for line in lines if "dynamic " in line][1:] == ["→"]
    assert any("float16" in line and line.count("not run") == 3 for line in lines)
    assert any("int8" in line and "not made: the converter crashed" in line for line in lines)
    assert lines[-1] == "  Why."


def test_the_card_says_where_the_chosen_file_does_not_load() -> None:
    operators = (Operator("FULLY_CONNECTED", 12, 1, False),)
    static = StaticReport(
        *(9, "0", operators, (), "2.17.0", (), 3, 4, 1.0, None, None, (), (), (), False)
    )
    for sample in (None, 9):  # as asked, and by evidence
        chosen = Candidate("dynamic", Path("a"), "0" * 64, 9, flips=0, static=static)
        conversion = Conversion("rain", "0", (chosen,), "dynamic", "Why.", None, (), sample, "r 1")
        assert conversion.static is static
        assert str(conversion).splitlines()[-1] == (
            "  By what the file says of itself, it does not load in tflite-runtime 2.14.0 and "
            "tflite-runtime 2.5.0 (.static has more)."
        )
        plain = replace(static, operators=(), min_runtime_version="1.14.0")
        fine = replace(conversion, candidates=(replace(chosen, static=plain),))
        assert str(fine).splitlines()[-1] == "  Why."  # and never that it runs
        bare = replace(conversion, candidates=(replace(chosen, static=None),))
        assert bare.static is None and str(bare).splitlines()[-1] == "  Why."


def test_the_card_of_one_candidate_has_nothing_to_choose() -> None:
    only = (Candidate("float32", Path("float32.tflite"), "ab" * 32, 4000),)
    text = str(Conversion("rain", "0" * 64, only, "float32", "Nothing was quantised."))
    assert text.startswith("rain: float32, 4,000 B\n")
    assert "float32.tflite" in text and "not run" not in text
