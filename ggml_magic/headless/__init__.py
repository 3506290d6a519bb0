"""Runs without a person: receipts, papermill, pipelines."""
