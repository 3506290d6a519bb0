"""What the devices do: predictions, shadows, logs.

Reads through the cloud's gateways only; changes nothing but a thing's reported readings.
"""
