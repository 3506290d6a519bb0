"""moto, run inside this process through its own WSGI application."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterable, Mapping
from typing import IO, Any
from urllib.parse import quote, urlencode

from ggml_magic.sandbox.endpoint import authorization
from ggml_magic.sandbox.service import Response

# moto's own switches; its reset would silently empty a workspace.
CLOSED = ("/moto-api", "/latest/", "/favicon.ico")


class Upstream:
    """moto's services; one call at a time, since moto's own state knows no threads."""

    def __init__(self) -> None:
        from moto.core.models import DEFAULT_ACCOUNT_ID
        from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self.account = DEFAULT_ACCOUNT_ID
        self.lock = threading.RLock()
        self._spelled = PRESERVED_HEADER_NAMES_ENVIRON_KEY
        self._application = DomainDispatcherApplication(create_backend_app)

    def forward(self, environ: dict[str, Any]) -> Response:
        """Hand a WSGI request on; moto's exceptions come through."""
        if environ["PATH_INFO"].startswith(CLOSED):
            raise NotImplementedError(environ["PATH_INFO"])
        status: list[str] = []
        headers: list[tuple[str, str]] = []

        def start(line: str, found: list[tuple[str, str]], _error: object = None) -> None:
            status.append(line)
            headers.extend(found)

        with self.lock:
            chunks = self._application(environ, start)
            try:
                body = b"".join(chunks)
            finally:
                getattr(chunks, "close", lambda: None)()
        return Response(int(status[-1].split()[0]), tuple(headers), body)

    def ask(
        self,
        service: str,
        region: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | IO[bytes] = b"",
        length: int | None = None,
    ) -> Response:
        """A request of the sandbox's own; ``path`` is unescaped, a stream needs its length."""
        escaped = quote(path)
        text = query if isinstance(query, str) else urlencode(query)
        stream = io.BytesIO(body) if isinstance(body, bytes) else body
        size = len(body) if isinstance(body, bytes) else length
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path.encode().decode("latin-1"),
            "QUERY_STRING": text,
            "REQUEST_URI": f"{escaped}?{text}" if text else escaped,
            "RAW_URI": f"{escaped}?{text}" if text else escaped,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_LENGTH": str(size),
            "HTTP_HOST": "127.0.0.1",
            "HTTP_AUTHORIZATION": authorization(service, region),
            "HTTP_X_AMZ_DATE": "20200101T000000Z",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": stream,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        environ.update(_variables(headers or {}))
        # metadata keys with an underscore keep their spelling, as over moto's own server
        environ[self._spelled] = {_variable(name): name for name in headers or {} if "_" in name}
        return self.forward(environ)

    def json(
        self,
        service: str,
        region: str,
        path: str,
        *,
        query: Mapping[str, str] | str = "",
    ) -> dict[str, Any] | None:
        """The document that a GET answers, or ``None`` where there is no such thing."""
        response = self.ask(service, region, "GET", path, query=query)
        if response.status != OK:
            return None
        document: dict[str, Any] = json.loads(response.body)
        return document

    def pages(self, region: str, path: str, key: str) -> Iterable[Any]:
        """All items of one of IoT's paged lists."""
        token = ""
        while True:
            page = self.json("iot", region, path, query={"nextToken": token} if token else "")
            if page is None:
                return
            yield from page.get(key, ())
            token = page.get("nextToken") or ""
            if not token:
                return


OK = 200


def _variables(headers: Mapping[str, str]) -> dict[str, str]:
    return {_variable(name): value for name, value in headers.items()}


def _variable(name: str) -> str:
    """The name that WSGI has for a header."""
    plain = name.upper().replace("-", "_")
    return plain if plain in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{plain}"
