"""SavedModel to TFLite, always in a child process.

Takes an ``EdgeModel``, hands on a ``Conversion``: candidate files and why one was chosen.
"""
