"""Secrets of the cloud, for those whose policy allows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ggml_magic.core import authorize
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.ipc import Call, IpcError, Operation
from ggml_magic.core.operations import requests
from ggml_magic.core.secretstore import SecretStore, Wanted
from ggml_magic.errors import CloudError


class Secrets:
    """GetSecretValue.

    A real device serves the secrets that its secret manager component is configured with; this
    one every secret of its cloud that a policy allows.
    """

    def __init__(self, held: Inventory, store: SecretStore) -> None:
        self._held = held
        self._store = store

    def handlers(self) -> Mapping[str, Operation]:
        """The operations by name."""
        return {"GetSecretValue": self.get_secret_value}

    async def get_secret_value(self, call: Call) -> Mapping[str, Any]:
        """A version of a secret, the current one where none is named."""
        wanted = _wanted(call)
        allowed = requests.allowed(self._held, call, authorize.SECRETS, wanted.secret)
        try:
            secret = await self._store.get(wanted)
        except CloudError as error:
            if not allowed:
                raise requests.unauthorised(call, authorize.SECRETS, wanted.secret) from None
            raise IpcError("ServiceError", f"the secret cannot be had: {error}") from None
        # a policy may name the ARN where a request has the name; a refusal proves no name
        found = secret is not None and requests.allowed(
            self._held, call, authorize.SECRETS, secret.arn
        )
        if not allowed and not found:
            raise requests.unauthorised(call, authorize.SECRETS, wanted.secret)
        if secret is None:
            why = f"there is no secret {wanted.secret}, or not that version of it"
            raise requests.no_resource("Secret", wanted.secret, why)
        return {
            "secretId": secret.arn,
            "versionId": secret.version,
            "versionStage": list(secret.stages),
            "secretValue": dict(secret.value),
        }


def _wanted(call: Call) -> Wanted:
    secret, version, stage = (
        requests.text(call, name) for name in ("secretId", "versionId", "versionStage")
    )
    if not secret:
        raise IpcError("InvalidArgumentsError", "secretId is empty")
    if version and stage:
        raise IpcError("InvalidArgumentsError", "versionId and versionStage exclude each other")
    return Wanted(secret, version, stage)
