"""An authorization server that tells the truth, lies, hangs, or is none at all."""

from __future__ import annotations

import json
import ssl
import time
from typing import Any
from urllib.parse import parse_qs

from tests.lab.web import HANG, Request, WebServer, ok

REALM = "/introspect"


class IntrospectionServer(WebServer):
    """`answers`: token -> claims; `script`: raw bytes that are sent instead; with `hang` nothing is ever sent.

    `questions` are what came: (head, form).
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(context, self._reply)
        self.answers: dict[str, dict[str, Any]] = {}
        self.script: bytes | None = None
        self.hang = False

    @property
    def url(self) -> str:
        scheme = "https" if self.context else "http"
        return f"{scheme}://localhost:{self.port}{REALM}"

    @property
    def questions(self) -> list[tuple[str, dict[str, str]]]:
        return [(request.head, _form(request)) for request in self.requests]

    def _reply(self, request: Request) -> bytes | None:
        if self.hang:
            return HANG
        if self.script is not None:
            return self.script
        claims = self.answers.get(_form(request).get("token", ""), {"active": False})
        return ok(json.dumps(claims).encode(), "application/json")


def _form(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


def good(username: str = "ann@example.com", **claims: Any) -> dict[str, Any]:
    """The claims of a good token."""
    return {"active": True, "username": username, "exp": int(time.time()) + 3600, **claims}
