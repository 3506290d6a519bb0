"""Addresses that anybody may fetch for a while, as S3 gives them to devices."""

from __future__ import annotations

from urllib.parse import quote

# How long an address works, seconds.
EXPIRES_SECONDS = 3600
# The sandbox looks at no signature: these only have to be well formed.
KEY = "sandbox"


def address(host: str, region: str, bucket: str, key: str) -> str:
    """The signed address of an object at a sandbox that is reached as ``host``."""
    # the sandbox's own process has loaded it long before a device asks
    from botocore.auth import S3SigV4QueryAuth  # type: ignore[import-untyped]  # ships no types
    from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]  # ships no types
    from botocore.credentials import Credentials  # type: ignore[import-untyped]  # ships no types

    request = AWSRequest("GET", f"http://{host}/{quote(bucket)}/{quote(key)}")
    S3SigV4QueryAuth(Credentials(KEY, KEY), "s3", region, EXPIRES_SECONDS).add_auth(request)
    return str(request.url)
