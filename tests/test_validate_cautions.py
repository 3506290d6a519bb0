"""What a proof does not prove is said on its card, and the verdict stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_validate_report import PASSED, VALUES

from ggml_magic.device.contract import Decision
from ggml_magic.validate.cautions import OTHER_ROWS, cautions
from ggml_magic.validate.report import Report
from ggml_magic.validate.task import task


def test_a_sound_proof_has_none() -> None:
    assert cautions(PASSED) == cautions(VALUES) == ()
    two = replace(PASSED, distinct_decisions=2, source_distinct_decisions=2)
    assert cautions(two) == ()


def test_one_decision_to_all_rows_proves_little() -> None:
    never = replace(
        PASSED, distinct_decisions=1, source_distinct_decisions=1, only_decision="0", boundary=1.5
    )
    told = "Every row is decided 0 by both: the rows or the threshold prove little."
    assert cautions(never) == (told,) and told in str(never) and told in never._repr_html_()
    assert "PASSED" in str(never)
    dry = replace(never, rule="argmax", boundary=None, only_decision="dry")
    assert cautions(dry) == ("Every row is decided dry by both: the rows prove little.",)
    (few,) = cautions(replace(never, rows=1))
    assert few.startswith("Proven on 1 row only")


def test_an_edge_that_decides_alike_where_the_notebook_does_not() -> None:
    deaf = replace(PASSED, distinct_decisions=1, source_distinct_decisions=2, flip_count=3)
    assert cautions(deaf) == (
        "The edge decides every row alike, and the notebook's model does not.",
    )
    (other,) = cautions(replace(deaf, source_distinct_decisions=1))
    assert other.endswith("the notebook's model alike and otherwise.")


def test_an_accuracy_that_the_commonest_label_reaches_is_told() -> None:
    poor = replace(PASSED, accuracy=0.6, majority=0.65, auc=0.5)
    (told,) = cautions(poor)
    assert told == (
        "The accuracy of 60.00% does not beat the commonest label alone (65.00%). " + OTHER_ROWS
    )
    assert cautions(replace(poor, accuracy=0.65)) and cautions(replace(poor, auc=None))
    (low,) = cautions(replace(poor, auc=0.84))
    assert "do follow the labels (AUC 0.84)" in low and OTHER_ROWS not in low
    (alike,) = cautions(replace(poor, accuracy=0.9, majority=1.0, auc=None))
    assert alike == "All labels are alike: the accuracy tells little of the model."


def test_an_error_that_the_median_reaches_is_told() -> None:
    (told,) = cautions(replace(VALUES, mean_abs_error=12.4))
    assert "12.4 is no better than the labels' median alone (12.3)" in told and OTHER_ROWS in told
    (broken,) = cautions(replace(VALUES, mean_abs_error=float("nan")))
    assert "no better" in broken
    (alike,) = cautions(replace(VALUES, baseline_abs_error=0.0))
    assert alike.startswith("All labels are alike")


def with_labels(shuffled: bool, share: float) -> Report:
    random = np.random.default_rng(5)
    outputs = random.random((2000, 1)).astype(np.float32)
    labels = (outputs[:, 0] + random.normal(0, 0.1, 2000) >= share).astype(int)
    if shuffled:
        labels = random.permutation(labels)
    found = task(Decision("threshold", share), outputs, outputs, labels)
    values = {"accuracy": found.accuracy, "majority": found.majority, "auc": found.auc}
    return replace(PASSED, rows=2000, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_labels_of_other_rows_are_named_and_the_rows_own_are_not(share: float) -> None:
    assert OTHER_ROWS in str(with_labels(True, share))
    assert cautions(with_labels(False, share)) == ()


def test_chance_may_beat_the_commonest_label_and_is_told_all_the_same() -> None:
    lucky = replace(PASSED, rows=2000, accuracy=0.51, majority=0.5, auc=0.52)
    assert cautions(lucky) == (f"The outputs do not follow the labels (AUC 0.52). {OTHER_ROWS}",)
    assert cautions(replace(lucky, rows=20_000)) == ()
