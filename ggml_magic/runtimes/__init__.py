"""Edge runtimes, each in an environment of its own.

Each is an entry point of the group ``ggml_magic.runtimes``; none enters the notebook's
environment.
"""
