"""The one grammar of ``%ggml``, ``ggml_magic.VERB(...)`` and ``ggml VERB``.

Everything that a person can type is declared in ``table``. From it come the reading of a line,
all help, completion, and the check of a function's arguments. Nothing is done here.
"""
