"""A small server of S3's kind: PUT, GET with a range, DELETE; it checks every signature by the rules of AWS itself.

Written apart from `lib.store.sql.signature`, from "Signature calculations for the Authorization header".
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY, SECRET, REGION = "AKTEST", "s3cr3t/+", "eu-test-1"


class ObjectServer:
    """`objects` by path; `down` makes it answer 503."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.down = False
        self.hang_up = False
        """Ends each connection after its next answer, without saying so."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def answer(self, status: int, body: bytes = b"") -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = outer.hang_up

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests.append((self.command, self.path))
                if not signature_is_right(self.command, self.path, self.headers, body):
                    self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>" * 50)
                elif outer.down:
                    self.answer(503, b"<Error/>")
                elif self.command == "PUT":
                    outer.objects[self.path] = body
                    self.answer(200)
                elif self.command == "DELETE":
                    outer.objects.pop(self.path, None)
                    self.answer(204)
                elif self.path not in outer.objects:
                    self.answer(404)
                else:
                    first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
                    self.answer(206, outer.objects[self.path][first : last + 1])

            do_GET = do_PUT = do_DELETE = handle_any

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> ObjectServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def signature_is_right(method: str, path: str, headers: Any, body: bytes) -> bool:
    """Whether the request was signed with our secret."""
    scheme, _, rest = headers.get("Authorization", "").partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
    if scheme != "AWS4-HMAC-SHA256" or headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
        return False
    access, day, region, service, end = parts["Credential"].split("/")
    signed = parts["SignedHeaders"].split(";")
    lines = [f"{name}:{headers[name]}" for name in signed]
    canonical = "\n".join([method, path, "", *lines, "", ";".join(signed), headers["x-amz-content-sha256"]])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], f"{day}/{region}/{service}/{end}", digest])
    key = ("AWS4" + SECRET).encode()
    for part in (day, REGION, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    expected = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return access == KEY and "host" in signed and hmac.compare_digest(expected, parts["Signature"])
