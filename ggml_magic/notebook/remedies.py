"""The next command in the user's own words: with the name of the rows that they typed."""

from __future__ import annotations

from collections.abc import Sequence

from ggml_magic.errors import GgmlError

# how a room below, which never hears of names, calls the rows of a proof
STANDING = "X_test"
OPTION = "--inputs"
# the verbs whose rows are those of a proof
PROVING = ("validate", "profile")


class Remedies:
    """The rows that each model was last proven with, by the name that was typed."""

    def __init__(self) -> None:
        self._typed: dict[str, str] = {}

    def remember(self, words: Sequence[str], model: str) -> None:
        """Keep the name after ``--inputs``, where the line is one of a proof."""
        if words[0] not in PROVING:
            return
        for word, following in zip(words, [*words[1:], ""], strict=True):
            name, equals, value = word.partition("=")
            if name == OPTION:
                self._typed[model] = value if equals else following

    def complete(self, error: GgmlError, model: str) -> None:
        """Put the typed name into the error's remedy, if one is known for the model."""
        error.remedy = error.remedy.replace(STANDING, self._typed.get(model, STANDING))


# of this kernel
REMEDIES = Remedies()
