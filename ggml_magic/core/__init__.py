"""A Greengrass core device on this machine, for development and teaching.

Takes deployments from the device-side API, runs components as real processes and serves the
IPC protocol to the unmodified ``awsiotsdk``. It is no sandbox for hostile code.
"""
