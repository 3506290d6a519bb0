"""Addresses that anybody may fetch for a while."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from ggml_magic.sandbox import front, signed


def test_an_address_leads_to_the_object_and_says_which_service_is_meant() -> None:
    made = urlsplit(signed.address("127.0.0.1:5000", "eu-west-1", "bucket", "a b/c.zip"))
    assert (made.netloc, made.path) == ("127.0.0.1:5000", "/bucket/a%20b/c.zip")
    query = parse_qs(made.query)
    assert query["X-Amz-Expires"] == [str(signed.EXPIRES_SECONDS)]
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert front.SCOPE.search(f"Credential={query['X-Amz-Credential'][0]}")
