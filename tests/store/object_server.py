"""A small server of S3's kind that misbehaves where it is told to; a real one is in `tests.peers.object_storage`.

PUT, GET with a range, DELETE; it checks every signature by the rules of AWS itself.
Written apart from `lib.store.sql.signature`, from "Signature calculations for the Authorization header".
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY, SECRET, REGION = "AKTEST", "s3cr3t/+", "eu-test-1"


class ObjectServer:
    """`objects` by path.  What it does wrong is chosen by its attributes, until `behave`."""

    def __init__(self) -> None:
        self.behave()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer.connections += 1

            def log_message(self, *_: Any) -> None:
                pass

            def answer(self, status: int, body: bytes = b"", start: int | None = None) -> None:
                # Before the answer: with it the test goes on.
                self.close_connection = outer.hang_up or outer.cut or outer.refuse_early
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if start is not None:
                    self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/*")
                self.end_headers()
                if outer.cut:
                    body = body[: len(body) // 2]
                step = 1 if outer.pause else len(body)
                with contextlib.suppress(OSError):  # nobody listens any more
                    for place in range(0, len(body), step or 1):
                        time.sleep(outer.pause)
                        self.wfile.write(body[place : place + step])

            def handle_any(self) -> None:
                outer.requests.append((self.command, self.path))
                if outer.refuse_early:
                    self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                once, outer.once = outer.once, 0
                if not signature_is_right(self.command, self.path, self.headers, body):
                    self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>" * 50)
                elif outer.down or once:
                    self.answer(once or 503, b"<Error/>")
                elif self.command == "PUT":
                    outer.objects[self.path] = body
                    self.answer(200)
                elif self.command == "DELETE":
                    outer.objects.pop(self.path, None)
                    self.answer(204)
                elif self.path not in outer.objects:
                    self.answer(404)
                elif outer.whole:
                    self.answer(200, outer.objects[self.path])
                else:
                    first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
                    first, last = first + outer.shift, last + outer.shift + outer.longer
                    self.answer(206, outer.objects[self.path][first : last + 1], first)

            do_GET = do_PUT = do_DELETE = handle_any

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def behave(self) -> None:
        """Be empty, and do everything right from now on."""
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.connections = 0
        self.down = False
        """It answers 503."""
        self.once = 0
        """The status of its next answer."""
        self.hang_up = False
        """Ends each connection after its next answer, without saying so."""
        self.whole = False
        """Knows no ranges."""
        self.shift = self.longer = 0
        """Octets by which ranges begin later, or are longer."""
        self.cut = False
        """Answers break off half way."""
        self.pause = 0.0
        """Seconds before each octet."""
        self.refuse_early = False
        """Answers 403 before it has read what is put, and hangs up."""

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
