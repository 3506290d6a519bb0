"""What a notebook sees: the magics, completion and the live widget.

Only here is IPython imported. No work is done here: every verb lives in ``verbs``.
"""
