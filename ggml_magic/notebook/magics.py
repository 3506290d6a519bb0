"""``%ggml`` and ``%%ggml``.

This module is all that ``%load_ext ggml_magic`` loads: everything else comes when a line is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import needs_local_scope, no_var_expand, output_can_be_silenced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from IPython.core.interactiveshell import InteractiveShell

    from ggml_magic.grammar.verb import Call

NAME = "ggml"


def register(shell: InteractiveShell) -> None:
    """Give a shell the magics and their completion."""

    def ggml(line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
        """From a trained model to a proven one on an edge device.

        ``%ggml --help`` lists the verbs, ``%ggml VERB --help`` explains one.
        """
        return run(shell, line, cell, local_ns or {})

    def complete(shell: InteractiveShell, event: Any) -> list[str]:
        from ggml_magic.notebook.completion import complete as words

        return words(shell.user_ns, event.text_until_cursor)

    # run expands the line itself: IPython would take JSON for expressions
    magic = no_var_expand(output_can_be_silenced(needs_local_scope(ggml)))
    shell.register_magic_function(magic, "line_cell", NAME)  # type: ignore[arg-type]  # it says it takes methods only
    for key in (f"%{NAME}", f"%%{NAME}"):
        shell.set_hook("complete_command", complete, str_key=key)  # type: ignore[no-untyped-call]  # IPython leaves it so


def run(
    shell: InteractiveShell, line: str, cell: str | None, local_names: Mapping[str, Any]
) -> Any:
    """Expand a line as IPython does, run it, and return the verb's value.

    A failure is raised, never printed: a headless run must see it (PEERS 0.1).
    """
    from IPython.display import display

    from ggml_magic.errors import GateError, GgmlError
    from ggml_magic.grammar import help as helps
    from ggml_magic.grammar import reading
    from ggml_magic.grammar.verb import Call
    from ggml_magic.notebook.expansion import expand
    from ggml_magic.notebook.names import Names
    from ggml_magic.notebook.remedies import REMEDIES
    from ggml_magic.verbs.public import function

    names = Names({**shell.user_ns, **local_names})
    # a closing semicolon is IPython's own sign for "show nothing"
    expanded = expand(line.rstrip().removesuffix(";"), names.values)
    names.check_expanded(expanded.line)
    words = [expanded.whole(word) for word in reading.split(expanded.line)]
    call = reading.read(words, helps.MAGIC, names.look, cell)
    if not isinstance(call, Call):
        return call
    model = str(call.values.get("name", ""))
    REMEDIES.remember(words, model)
    try:
        if call.values.get("watch"):
            return _watched(shell, call)
        return call.on(function(call.verb.name))
    except GgmlError as error:
        REMEDIES.complete(error, model)
        if isinstance(error, GateError) and error.report is not None:
            # what failed, row by row, stays in the cell above the one sentence
            display(error.report)  # type: ignore[no-untyped-call]  # IPython leaves it so
        raise


def _watched(shell: InteractiveShell, call: Call) -> Any:
    from ggml_magic.notebook.progress import live
    from ggml_magic.verbs.public import function

    title = f"{call.values['name']} → {call.values['to']}"
    with live(shell, title) as layer:
        value = call.on(function(call.verb.name), on_step=layer.step)
        layer.done()
    return value
