"""One AWS service's calls, with every failure told in our own words."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ggml_magic.errors import CloudError, UnreachableError

SANDBOX = "sandbox"
LONGEST_REASON = 300
# what must never reach a notebook: key ids, and what presigned addresses and headers carry
SECRET = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|(?i:x-amz-(?:security-token|signature|credential)|signature|credential)"
    r"[\"']?\s*[=:]\s*[^\s&,]+"
)
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
REFUSED = {
    "AuthFailure",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
DENIED = {"AccessDenied", "AccessDeniedException", "ForbiddenException", "UnauthorizedException"}
THROTTLED = {"SlowDown", "ThrottlingException", "Throttling", "TooManyRequestsException"}
MISSING = {"ResourceNotFoundException", "NoSuchBucket", "NoSuchKey", "404", "NotFound"}
REMEDIES = {"sandbox": "%ggml sandbox status", "aws": "aws sts get-caller-identity"}
SIGN_IN = "aws configure sso, or aws configure; then run this again"


@dataclass(frozen=True)
class Gateway:
    """The calls of one service; ``make`` gives its boto3 client when it is first needed."""

    cloud: str
    service: str
    make: Callable[[str], Any]

    @functools.cached_property
    def client(self) -> Any:
        """The boto3 client, made once."""
        with telling(self.cloud, self.service):
            return self.make(self.service)

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """One call, such as ``GetDeployment``, and its answer.

        Raises ``UnreachableError`` where nobody answers and ``CloudError``, with the service's
        own code, for every other failure.
        """
        from botocore import xform_name  # type: ignore[import-untyped]  # it ships no types

        method = getattr(self.client, xform_name(operation))
        with telling(self.cloud, operation):
            answer: dict[str, Any] = method(**parameters)
        return answer

    def pages(self, operation: str, items: str, **parameters: Any) -> Iterator[Any]:
        """The items of all pages of a list operation."""
        from botocore import xform_name

        with telling(self.cloud, operation):
            pages = self.client.get_paginator(xform_name(operation)).paginate(**parameters)
            for page in pages:
                yield from page.get(items, ())


@contextlib.contextmanager
def telling(cloud: str, operation: str) -> Iterator[None]:
    """Turn what botocore raises into a ``CloudError`` that names the cloud and the operation."""
    from botocore import exceptions as boto
    from botocore.parsers import (  # type: ignore[import-untyped]  # it ships no types
        ResponseParserError,
    )

    try:
        yield
    except (boto.BotoCoreError, boto.ClientError, ResponseParserError) as error:
        raise failure(cloud, operation, error) from None


def failure(cloud: str, operation: str, error: Exception) -> CloudError:
    """What a botocore error means to a person; never holds a secret."""
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        return _answered(cloud, operation, error.response.get("Error", {}))
    code = type(error).__name__
    if isinstance(error, (boto.ConnectionError, boto.HTTPClientError)):
        return UnreachableError(
            f"{cloud} did not answer {operation}",
            "nobody listens there any more" if cloud == SANDBOX else "the network or the endpoint",
            REMEDIES[cloud],
            operation=operation,
            code=code,
        )
    why, remedy = _local(error, boto)
    return CloudError(
        f"{operation} could not be sent to {cloud}", why, remedy, operation=operation, code=code
    )


def _local(error: Exception, boto: Any) -> tuple[str, str]:
    expired = (boto.UnauthorizedSSOTokenError, boto.SSOTokenLoadError, boto.TokenRetrievalError)
    if isinstance(error, expired):
        return "the sign-in has expired", "aws sso login"
    nothing = (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)
    if isinstance(error, nothing):
        return "there are no AWS credentials here", SIGN_IN
    if isinstance(error, boto.ProfileNotFound):
        return "AWS_PROFILE names a profile that does not exist", "aws configure list-profiles"
    if isinstance(error, boto.NoRegionError):
        return "no region is set", "%ggml config region=eu-west-1"
    return said(str(error)), REMEDIES["aws"]


def _answered(cloud: str, operation: str, answer: dict[str, Any]) -> CloudError:
    code = str(answer.get("Code", "Unknown"))
    what = f"{operation} failed on {cloud}"
    why, remedy = said(f"{answer.get('Message') or code} ({code})"), REMEDIES[cloud]
    if code in EXPIRED:
        why, remedy = f"the credentials have expired ({code})", "aws sso login"
    elif code in REFUSED:  # such messages can quote the signed request
        why, remedy = f"AWS does not accept these credentials ({code})", SIGN_IN
    elif code in DENIED or code == "403":
        what = f"{operation} is not allowed on {cloud}"
        remedy = f"ask for the permission for {operation}, then run this again"
    elif code in THROTTLED:
        why, remedy = f"too many calls at once ({code})", "wait a minute, then run this again"
    return CloudError(what, why, remedy, operation=operation, code=code)


def said(text: str) -> str:
    """A service's text as one line, without secrets and not too long."""
    line = SECRET.sub("***", " ".join(text.split()))
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…"
