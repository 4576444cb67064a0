"""Large bodies in S3-compatible object storage, beside a database that knows them.

Three requests are used: PUT of a whole object, GET of a range, DELETE.  The bucket is named in the path, as servers of
every maker understand.  A request that fails because a kept connection has ended is made once more, and so is one that
meets a passing trouble of the storage; all are idempotent.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pillarbox.lib.store.interface import StoreUnavailable
from pillarbox.lib.store.sql.object_trouble import trouble
from pillarbox.lib.store.sql.signature import Credentials, encoded, signed_headers
from pillarbox.lib.tables.query_tls import client_context

if TYPE_CHECKING:
    import http.client

SEGMENT: Final = 1 << 20
"""Octets of a body in each object but the last; what is held in memory of one on its way."""
FROM: Final = 64 * 1024
"""Octets from which a body is worth a request of its own."""
_TIMEOUT: Final = 10
"""Seconds to wait for each answer."""
_LONGEST: Final = 60
"""Seconds that an answer may take however busily it comes."""
_ERROR_TEXT: Final = 1024
"""Octets of what a server says of an error that are looked at."""
_STEP: Final = 1 << 16
_WHOLE: Final = 200


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """A bucket: `http(s)://HOST[:PORT]/BUCKET[/PREFIX]`, a file with access key and secret in a line each, a region."""

    url: str
    keyfile: str
    region: str = "us-east-1"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def secure(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (443 if self.secure else 80)

    def check(self) -> None:
        """Raises ValueError."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.path.strip("/") or parts.query:
            raise ValueError("objects: https://HOST/BUCKET was expected")
        if not self.keyfile.startswith("/"):
            raise ValueError("objectsfile: the absolute path of a file with access key and secret was expected")
        parts.port  # noqa: B018 - raises ValueError for one that is no port


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    data: bytes
    range: str
    """Content-Range."""


class Objects:
    """For several threads, one after the other.  Everything raises StoreUnavailable, whose text says all there is to
    say: it has no cause, which deliveries would tell in its place."""

    def __init__(self, place: ObjectPlace) -> None:
        import http.client  # most have no use for it

        self._failures = (http.client.HTTPException, OSError)
        self._place = place
        self._root = urlsplit(place.url).path.rstrip("/")
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._credentials: Credentials | None = None

    def put(self, name: str, data: bytes) -> None:
        """Store an object, durable when this returns."""
        self._request("PUT", name, data, {})

    def get(self, name: str, start: int, stop: int) -> bytes:
        """Octets [start, stop) of an object."""
        answer = self._request("GET", name, b"", {"range": f"bytes={start}-{stop - 1}"}, most=stop)
        data = answer.data
        if answer.status == _WHOLE:  # it is free to ignore that a range was asked for (RFC 9110 section 14.2)
            data = data[start:]
        elif not answer.range.startswith(f"bytes {start}-"):
            raise self._unavailable("GET: the answer is another range than was asked for")
        if len(data) != stop - start:
            raise StoreUnavailable("a message is damaged: its object is shorter than it was")
        return data

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""
        self._request("DELETE", name, b"", {})

    def _request(
        self, method: str, name: str, body: bytes, headers: dict[str, str], most: int = _ERROR_TEXT
    ) -> _Answer:
        """Ask, once more where a kept connection was dead or the storage has a passing trouble."""
        with self._lock:
            kept = self._connection is not None
            try:
                return self._once(method, name, body, headers, most)
            except _Passing:
                pass
            except self._failures as error:
                self._forget()
                if not kept or isinstance(error, TimeoutError):
                    raise self._unavailable(str(error) or type(error).__name__) from None
            try:
                return self._once(method, name, body, headers, most)
            except self._failures as error:
                self._forget()
                raise self._unavailable(str(error) or type(error).__name__) from None

    def _once(self, method: str, name: str, body: bytes, headers: dict[str, str], most: int) -> _Answer:
        place, connection = self._place, self._connected()
        path = f"{self._root}/{name}"
        usual = 443 if place.secure else 80
        host = place.host if place.port == usual else f"{place.host}:{place.port}"
        signed = signed_headers(self._who(), method, path, {"host": host, **headers}, body, time.time())
        until = time.monotonic() + _LONGEST
        whole = True
        try:
            connection.request(method, encoded(path), body if method == "PUT" else None, signed)
        except (BrokenPipeError, ConnectionResetError):
            if connection.sock is None:
                raise
            whole = False  # it may have answered without waiting for the end, and say why
        response = connection.getresponse()
        good = 200 <= response.status < 300
        limit = most if good else _ERROR_TEXT
        data = _content(response, limit, until)
        if not whole or len(data) > limit:  # what is left would take the place of the next answer
            self._forget()
        if good:
            return _Answer(response.status, data[:limit], response.headers.get("content-range", ""))
        problem = trouble(response.status, response.headers.get("date", ""), data, time.time())
        if method == "DELETE" and problem.gone:
            return _Answer(response.status, b"", "")
        if problem.refused:
            self._credentials = None  # the file may have other ones by now
        why = self._unavailable(f"{method}: {problem.text}")
        raise _Passing(str(why)) if problem.passing else why

    def _unavailable(self, why: str) -> StoreUnavailable:
        return StoreUnavailable(f"object storage {self._place.host}: {why}")

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            import http.client

            place = self._place
            self._connection = (
                http.client.HTTPSConnection(
                    place.host, place.port, timeout=_TIMEOUT, context=client_context(verify=True, names=True)
                )
                if place.secure
                else http.client.HTTPConnection(place.host, place.port, timeout=_TIMEOUT)
            )
        return self._connection

    def _who(self) -> Credentials:
        if self._credentials is None:
            place = self._place
            try:
                with open(place.keyfile, encoding="utf-8") as file:
                    key, secret = (file.readline(1024).strip() for _ in range(2))
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or str(error)
                raise StoreUnavailable(f"{place.keyfile}: {why}") from None
            if not secret or not key.isascii() or not key.isprintable():
                raise StoreUnavailable(f"{place.keyfile}: an access key and its secret, a line each, were expected")
            self._credentials = Credentials(key, secret, place.region)
        return self._credentials

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._forget()


class _Passing(StoreUnavailable):
    """What may be better at once."""


def _content(response: http.client.HTTPResponse, most: int, until: float) -> bytes:
    """What an answer has, `most` octets and one more at the most.  Raises OSError."""
    data = bytearray()
    while len(data) <= most:
        part = response.read1(min(most + 1 - len(data), _STEP))
        if not part:
            if response.length:
                raise ConnectionError("the answer breaks off")
            response.read()  # only this tells the connection that the answer has ended
            break
        data += part
        if time.monotonic() > until:
            raise TimeoutError("it answers too slowly")
    return bytes(data)
