"""Which rows are tried, and when a cause explains them; whole causes are in the suspects' test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ggml_magic.device.contract import Contract, Decision, Feature, Rows
from ggml_magic.validate import disagreement
from ggml_magic.validate.question import Question

FEATURES = tuple(Feature(name, "", -3.0, -2.0, 2.0, 3.0, 0.0) for name in "ab")
ROWS = np.random.default_rng(1).normal(size=(400, 2)).astype(np.float32)


def answer(rows: Rows) -> Rows:
    return (1 / (1 + np.exp(-(rows @ np.asarray([[2.0], [-1.0]]))))).astype(np.float32)


def question(edge: Rows, **changes: object) -> Question:
    asked = Question(
        Contract(FEATURES, Decision("threshold")),
        None,
        ROWS,
        answer(ROWS),
        edge,
        answer,
        answer,
        None,
        None,
        1e-4,
        "rain",
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


SWAPPED = answer(ROWS[:, ::-1])


def test_a_handful_of_flips_is_no_disagreement() -> None:
    edge = answer(ROWS)
    edge[:4] = 1 - edge[:4]
    assert disagreement.split(question(edge, tolerance=1.0)) is None
    edge[4] = 1 - edge[4]
    found = disagreement.split(question(edge, tolerance=1.0))
    assert found is not None and found.noun == "flip" and found.bad.sum() == 5


def test_flips_come_before_differences() -> None:
    found = disagreement.split(question(answer(ROWS) * np.float32(0.999)))
    assert found is not None and found.noun == "difference"
    assert disagreement.split(question(answer(ROWS))) is None


def test_the_flips_are_half_of_what_is_tried() -> None:
    found = disagreement.split(question(SWAPPED))
    assert found is not None and len(found.rows) == 400 and not found.all_flips
    counted = disagreement.split(question(SWAPPED, flips=int(found.bad.sum())))
    assert counted is not None and counted.all_flips
    bad = np.zeros(1000, dtype=bool)
    bad[:300] = True
    places = disagreement._places(bad, 100)
    assert len(places) == 100 and bad[places].sum() == 50
    assert bad[disagreement._places(bad, 800)].sum() == 300
    assert len(disagreement._places(np.ones(1000, dtype=bool), 100)) == 100
    few = np.zeros(1000, dtype=bool)
    few[-5:] = True
    assert bad[disagreement._places(bad, 1000)].sum() == 300
    assert few[disagreement._places(few, 100)].sum() == 5


def test_undoing_must_bring_the_outputs_together_as_well() -> None:
    """Every flip vanishes where everything is 0.49 or 0.51, and nothing is explained."""
    found = disagreement.split(question(SWAPPED))
    assert found is not None
    right = np.where(found.source >= 0.5, np.float32(0.5), np.float32(0.49))
    assert found.by_file([right]) == []
    (verdict,) = found.by_file([found.source])
    assert verdict.after == 0 and found.named([verdict])[0].kind == "order"


def test_no_number_explains_nothing() -> None:
    found = disagreement.split(question(SWAPPED))
    assert found is not None
    assert found.by_file([np.full_like(found.source, np.nan)]) == []


def test_a_cut_is_only_tried_where_it_cuts() -> None:
    found = disagreement.split(question(SWAPPED, input_range=(-10.0, 10.0)))
    assert found is not None and found.cuts() == []
    found = disagreement.split(question(SWAPPED, input_range=(-1.0, 1.0)))
    assert found is not None
    (cut,) = found.cuts()
    assert cut.change(ROWS).max() == 1.0 and "holds -1 to 1" in cut.says


def test_a_constant_source_has_a_constant_file() -> None:
    same = np.full((400, 1), 0.7, dtype=np.float32)
    found = disagreement.split(question(same * 0, source=same))
    assert found is not None and found.signature([same * 0]) == []


def test_only_what_explains_as_well_as_the_best_is_named() -> None:
    found = disagreement.split(question(SWAPPED))
    assert found is not None
    (order,) = found.hypotheses
    exact = disagreement._Verdict(order, 0, 1e-7)
    other = disagreement._Verdict(replace(order, kind="other", rank=0), 0, 0.05)
    assert [suspect.kind for suspect in found.named([other, exact])] == ["order"]
    alike = replace(other, apart=2e-7)
    assert [suspect.kind for suspect in found.named([exact, alike])] == ["other", "order"]
    again = replace(exact, cause=replace(order, rank=9))
    assert len(found.named([again, exact])) == 1
