"""The live layer of ``--watch``: a widget while it runs, a true static result when it ended.

A saved widget shows whatever it showed when it was made, or nothing at all (PEERS 0.1): so the
widget's place is taken by text and HTML at the end, whichever way it ends.
"""

from __future__ import annotations

import functools
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ggml_magic.presentation import Card, plural
from ggml_magic.verbs.rollout import step_line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ggml_magic.deploy.watch import Step

COLUMNS = ("seconds", "device", "component", "state", "detail")


class Layer(Protocol):
    """What a watched verb tells of itself."""

    def step(self, step: Step) -> None:
        """Something happened."""

    def done(self) -> None:
        """It ended well; the value that the verb returns says how."""


@contextmanager
def live(shell: InteractiveShell, title: str) -> Iterator[Layer]:
    """A layer that shows steps as they happen and, at the end, how it ended."""
    layer: _Widget | _Lines = _Widget(title) if _has_front_end(shell) else _Lines()
    try:
        yield layer
    except BaseException as error:
        layer.failed("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise


def _has_front_end(shell: InteractiveShell) -> bool:
    """Whether a kernel runs this shell, so that something may show a widget."""
    return getattr(shell, "kernel", None) is not None


class _Lines:
    """Steps as lines, where no widget can be: in a plain IPython terminal."""

    def step(self, step: Step) -> None:
        sys.stdout.write(step_line(step) + "\n")
        sys.stdout.flush()

    def done(self) -> None:
        """The value that the verb returns says it all."""

    def failed(self, word: str) -> None:
        """The error that is on its way says it all."""


class _Widget:
    """Steps in a widget, replaced by a static result."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._steps: list[Step] = []
        self._display = f"ggml-{uuid.uuid4().hex}"
        self._widget = _kind()(title=title)
        view, metadata = self._widget._repr_mimebundle_()
        begun = _bundle(Card(f"{title}: begun"))
        _display({**view, **begun}, metadata=metadata, display_id=self._display)

    def step(self, step: Step) -> None:
        self._steps.append(step)
        self._widget.steps = [_row(step) for step in self._steps]

    def done(self) -> None:
        self._replace(plural(len(self._steps), "step"))

    def failed(self, word: str) -> None:
        self._replace(word)

    def _replace(self, word: str) -> None:
        """The steps for good, where the widget was."""
        rows = tuple(map(_cells, self._steps))
        card = Card(f"{self._title}: {word}", columns=COLUMNS, rows=rows)
        _display(_bundle(card), display_id=self._display, update=True)
        self._widget.close()


@functools.cache
def _kind() -> type[Any]:
    """The widget's class; made here, since its imports take a tenth of a second."""
    import anywidget
    import traitlets

    from ggml_magic.notebook import asset

    class DeploymentProgress(anywidget.AnyWidget):
        """A table of steps; its front end is ``widgets/deployment.js``."""

        _esm = asset.path("deployment.js").read_text()
        _css = asset.path("deployment.css").read_text()
        title = traitlets.Unicode().tag(sync=True)
        steps = traitlets.List(traitlets.Dict()).tag(sync=True)

    return DeploymentProgress


def _display(bundle: dict[str, Any], **options: Any) -> None:
    from IPython.display import display

    display(bundle, raw=True, **options)  # type: ignore[no-untyped-call]  # IPython leaves it so


def _bundle(card: Card) -> dict[str, str]:
    return {"text/plain": card.text(), "text/html": card.html()}


def _row(step: Step) -> dict[str, str]:
    return dict(zip(COLUMNS, _cells(step), strict=True))


def _cells(step: Step) -> tuple[str, ...]:
    where = step.device or "cloud"
    return (f"{step.seconds:.1f}", where, step.component, step.state, step.detail)
