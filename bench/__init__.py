"""Figures of the product beside the bare thing underneath, measured in one run.

``python -m bench`` prints one table. Each figure is a ratio or a difference against a baseline
that ran on the same machine in the same minute; seconds alone would say more of the machine
than of the product.
"""
