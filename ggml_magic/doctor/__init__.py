"""What this machine has for ``ggml_magic``, and how to get what it lacks.

A look changes nothing and is never a failure; what is missing comes with the command that mends
it. Some of these commands are the doctor's own.
"""
