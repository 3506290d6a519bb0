from __future__ import annotations

from pathlib import Path

from ggml_magic.component.bundle import Artifact, Bundle, Component


def bundle(*, new: bool) -> Bundle:
    artifact = Artifact(Path("bundles") / "rain.zip", "f" * 64, 83_332)
    component = Component("com.example.Rain.Inference", "1.0.2", {}, (artifact,), "a" * 64)
    return Bundle("rain", (component,), "0" * 64, "ai-edge-litert", "2.3.0", new)


def test_an_artifact_goes_by_its_files_name() -> None:
    assert bundle(new=True).root.artifacts[0].name == "rain.zip"


def test_a_bundle_shows_its_components_and_whether_it_is_new() -> None:
    text = str(bundle(new=True))
    assert text.startswith("rain: packaged")
    for part in ("com.example.Rain.Inference", "1.0.2", "rain.zip", "83,332 B", "a" * 12):
        assert part in text
        assert part in bundle(new=True)._repr_html_()
    assert "unchanged" in str(bundle(new=False))
