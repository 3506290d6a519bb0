"""The proof: the edge runtime's answers beside the source model's, row by row.

Takes an ``EdgeModel`` and its ``Conversion``, hands on a ``Report`` with a verdict.
"""
