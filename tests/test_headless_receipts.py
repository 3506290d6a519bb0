"""Receipts: whole, ordered, the same for the same content, and without a value in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.headless import receipts
from ggml_magic.headless.receipts import Receipt, sha256_of
from ggml_magic.workspace import Workspace


def receipt(verb: str = "convert", at: str = "2026-01-02T03:04:05.678+00:00") -> Receipt:
    return Receipt(verb, "rain", "ok", "a" * 64, "b" * 64, 1.5, "sandbox", None, at)


def test_a_receipt_is_json_and_read_back(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / ".ggml")
    path = receipts.write(workspace, receipt())
    assert path.parent == workspace.root / "receipts"
    assert path.name.startswith("20260102T030405678-convert-rain-")
    assert set(json.loads(path.read_text())) >= {
        *("verb", "name", "status", "inputs_sha256", "outputs_sha256", "seconds", "cloud")
    }
    assert receipts.read(workspace) == (receipt(),)


def test_receipts_of_one_moment_are_all_kept_and_read_in_order(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / ".ggml")
    late = receipt("deploy", "2026-01-02T03:04:06.000+00:00")
    for each in (late, receipt(), receipt()):
        receipts.write(workspace, each)
    assert [each.verb for each in receipts.read(workspace)] == ["convert", "convert", "deploy"]


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / ".ggml")
    named = Receipt("run", "../../x/y.yaml", "ok", "", "", 0, "sandbox", None, receipt().at)
    assert receipts.write(workspace, named).parent == workspace.root / "receipts"


def test_no_receipts_are_an_empty_list(tmp_path: Path) -> None:
    assert receipts.read(Workspace(tmp_path / ".ggml")) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros(4), np.zeros((2, 2))),
        (np.zeros(2, "float32"), np.zeros(2, "int32")),
        (np.array(["a", "b"], object), np.array(["a", "c"], object)),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
        (pd.Series([1]), pd.Series([2])),
        ({"a": 1}, {"a": 2}),
        (["ab", "c"], ["a", "bc"]),
        (1, "1"),
        ([], [[]]),
    ],
)
def test_other_content_has_another_hash(one: object, other: object) -> None:
    assert sha256_of(one) != sha256_of(other)


def test_the_same_content_has_the_same_hash() -> None:
    rows = np.arange(6.0).reshape(2, 3)
    assert sha256_of(rows) == sha256_of(rows.copy())
    texts = [np.array(["a" * 1, "b"], object) for _ in range(2)]
    assert sha256_of(texts[0]) == sha256_of(texts[1])
    assert sha256_of({"a": 1, "b": 2}) == sha256_of({"b": 2, "a": 1})
    assert sha256_of(object()) == sha256_of(object())


def test_a_file_counts_by_its_bytes(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("1.csv", "2.csv", "3.csv"))
    one.write_text("a\n1\n")
    same.write_text("a\n1\n")
    other.write_text("a\n2\n")
    assert sha256_of(one) == sha256_of(same) == sha256_of(str(same))
    assert sha256_of(one) != sha256_of(other)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(json_values, json_values)
def test_hashes_are_equal_for_equal_json_alone(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (sha256_of(one) == sha256_of(other)) == same
