"""The front-end files are found in a checkout and in a wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggml_magic.notebook import asset


def test_a_checkout_has_them_at_its_top() -> None:
    found = asset.path("deployment.js")
    assert found == Path(__file__).parents[1] / "widgets" / "deployment.js"


def test_a_wheels_copy_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel, checkout = tmp_path / "wheel", tmp_path / "checkout"
    for place in (wheel, checkout):
        place.mkdir()
        (place / "a.js").write_text("")
    (checkout / "b.js").write_text("")
    monkeypatch.setattr(asset, "PLACES", (wheel, checkout))
    assert asset.path("a.js") == wheel / "a.js"
    assert asset.path("b.js") == checkout / "b.js"


def test_a_missing_file_is_told_with_the_places() -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.js is neither in .*data/widgets nor in"):
        asset.path("gone.js")
