"""A trained prediction as one unit: stages, feature contract, decision rule, provenance.

Takes live objects of the notebook and leaves a SavedModel in the workspace. Nothing here
knows of TFLite, AWS or devices.
"""
