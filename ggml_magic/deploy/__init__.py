"""Publish, plan, deploy, watch.

Takes a ``Bundle`` and a target, hands on a ``Plan`` and a ``Deployment``. A plan keeps whatever
the target already has.
"""
