"""The functions behind the verbs: the stages in order, and a receipt around every one.

They are the public API: ``ggml_magic.convert("rain")`` is ``%ggml convert rain``. Rooms are
imported when a verb needs them; nothing here knows of IPython.
"""
