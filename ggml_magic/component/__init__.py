"""What a fleet lives with: recipes, artifacts, versions, golden vectors.

Takes a proven model, hands on a ``Bundle``. Writes files; uploads nothing.
"""
