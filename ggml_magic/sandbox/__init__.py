"""AWS on 127.0.0.1: our Greengrass V2 service, with moto beside it for S3, IoT and STS.

One process for each workspace; ``client`` starts, finds and stops it.
"""
