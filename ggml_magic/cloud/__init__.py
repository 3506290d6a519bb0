"""The AWS calls, behind small typed gateways.

Nothing else in the house knows boto3. AWS and the sandbox are reached by the same calls; only
the endpoint differs.
"""
