"""What runs on the device.

These files are shipped inside the component. They import nothing else of ``ggml_magic``, and
each other only by relative imports; ``install`` and ``launch`` need nothing but Python.
"""
