"""The IPC operations of this core, one module a service (EDGE-CORE 8, Semantics).

Each module has a class whose ``handlers`` gives its operations by name; ``Device`` puts them
together. What a module needs to read a request is in ``requests``.
"""
