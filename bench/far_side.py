"""The rest of the world for `bench.destinations`: DNS and mail servers at thousands of addresses, in one process.

    python -m bench.far_side DELAY [CERTIFICATE]

DELAY: seconds before each reply of a slow server; CERTIFICATE: a PEM file with its key, then all offer STARTTLS.

It is started in a network namespace of its own, with these networks local to it; a domain `dN.KIND.test` has its mail
server at the N-th address of its kind's network:

    good      10.1.0.0/16   takes mail at once
    slow      10.5.0.0/16   takes mail, each reply DELAY seconds late
    silent    10.4.0.0/16   takes connections and says nothing
    refused   10.2.0.0/16   (local to the near side, where nothing listens)
    black     10.3.0.0/16   (belongs to nobody: what is sent there is lost)
    nodns     its names get no answer

It prints one line of JSON, {KIND: messages}, whenever that has changed, at most twenty times a second.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import sys
from collections import Counter
from typing import cast

NETWORKS = {"good": 1, "refused": 2, "black": 3, "silent": 4, "slow": 5}
LOCAL = ("good", "silent", "slow")
ADDRESS = "10.0.0.2"
DNS_PORT, SMTP_PORT = 53, 25
BACKLOG = 4096
_KINDS = {number: kind for kind, number in NETWORKS.items()}

_A, _MX, _SOA = 1, 15, 6
_OK, _NXDOMAIN = 0, 3
_RECEIVE_FORCED = 33  # SO_RCVBUFFORCE, for root

taken: Counter[str] = Counter()


class Server(asyncio.Protocol):
    """One SMTP session; what it is like depends on the address that was called."""

    def __init__(self, delay: float, tls: ssl.SSLContext | None) -> None:
        self._delay = delay
        self._tls = tls
        self._offer = b"250-STARTTLS\r\n" if tls is not None else b""
        self._buffer = b""
        self._in_data = False
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._offer and self._tls is not None:
            return  # again, under TLS
        self._kind = _KINDS.get(int(self._transport.get_extra_info("sockname")[0].split(".")[1]), "silent")
        if self._kind != "silent":
            self._say(b"220 far.test\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        replies = b""
        while True:
            if self._in_data:
                if self._buffer.startswith(b".\r\n"):
                    self._buffer = self._buffer[3:]
                else:
                    end = self._buffer.find(b"\r\n.\r\n")
                    if end < 0:
                        break
                    self._buffer = self._buffer[end + 5 :]
                self._in_data = False
                taken[self._kind] += 1
                replies += b"250 2.0.0 taken\r\n"
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                break
            self._buffer = rest
            replies += self._answer(line[:4].upper())
        if replies:
            self._say(replies)

    def _answer(self, verb: bytes) -> bytes:
        if verb == b"EHLO":
            return b"250-far.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n" + self._offer + b"250 SIZE 0\r\n"
        if verb == b"STAR" and self._offer:
            self._transport.pause_reading()  # what comes now is no SMTP
            self._loop.call_soon(self._begin_tls)
            return b"220 2.0.0 ready\r\n"
        if verb == b"DATA":
            self._in_data = True
            return b"354 go on\r\n"
        return b"221 2.0.0 bye\r\n" if verb == b"QUIT" else b"250 2.0.0 ok\r\n"

    def _begin_tls(self) -> None:
        assert self._tls is not None
        self._offer = b""
        self._upgrade = self._loop.create_task(
            self._loop.start_tls(self._transport, self, self._tls, server_side=True), name="STARTTLS"
        )
        self._upgrade.add_done_callback(self._under_tls)

    def _under_tls(self, upgrade: asyncio.Task[asyncio.Transport | None]) -> None:
        if not upgrade.cancelled() and upgrade.exception() is None and (transport := upgrade.result()) is not None:
            self._transport = transport

    def _say(self, replies: bytes) -> None:
        if self._kind == "slow":
            self._loop.call_later(self._delay, self._transport.write, replies)
        else:
            self._transport.write(replies)


class Dns(asyncio.DatagramProtocol):
    """An answer for every name of a known kind; RFC 1035 section 4."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, end = _labels(data)
        kind = labels[-2] if len(labels) > 1 else ""
        if kind == "nodns":
            return
        (asked,) = struct.unpack_from("!H", data, end)
        question = data[12 : end + 4]
        answer, code = b"", _OK
        number = next((label[1:] for label in labels[-3:-2] if label[1:].isdigit()), "")
        if kind not in NETWORKS or not number:
            code = _NXDOMAIN
        elif asked == _MX and len(labels) == 3:
            answer = b"\xc0\x0c" + struct.pack("!HHIHH", _MX, 1, 300, 7, 10) + b"\x02mx\xc0\x0c"
        elif asked == _A and labels[0] == "mx":
            address = bytes((10, NETWORKS[kind], *divmod(int(number), 256)))
            answer = b"\xc0\x0c" + struct.pack("!HHIH", _A, 1, 300, 4) + address
        authority = b"" if answer else _soa()
        flags = 0x8580 | code
        head = data[:2] + struct.pack("!HHHHH", flags, 1, bool(answer), bool(authority), 0)
        self._transport.sendto(head + question + answer + authority, addr)


def _soa() -> bytes:
    fields = b"\0\0" + struct.pack("!IIIII", 1, 3600, 600, 86400, 300)
    return b"\x04test\0" + struct.pack("!HHIH", _SOA, 1, 300, len(fields)) + fields


def _labels(data: bytes) -> tuple[list[str], int]:
    labels, position = [], 12
    while length := data[position]:
        labels.append(data[position + 1 : position + 1 + length].decode("ascii").lower())
        position += 1 + length
    return labels, position + 1


async def serve(delay: float, certificate: str = "") -> None:
    """Until the end of the standard input."""
    loop = asyncio.get_running_loop()
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    mail = socket.create_server(("0.0.0.0", SMTP_PORT))
    # The queue is asyncio's to set.  Where it is full, a caller whose handshake was forgotten waits for a greeting.
    await loop.create_server(lambda: Server(delay, tls), sock=mail, backlog=BACKLOG)
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.setsockopt(socket.SOL_SOCKET, _RECEIVE_FORCED, 4_000_000)  # no question is lost on a busy machine
    names.bind((ADDRESS, DNS_PORT))
    await loop.create_datagram_endpoint(Dns, sock=names)
    ended = asyncio.Event()
    loop.add_reader(0, lambda: None if sys.stdin.buffer.raw.read(1) else ended.set())
    said = None
    while not ended.is_set():
        if said != taken:
            said = taken.copy()
            print(json.dumps(said), flush=True)
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), *sys.argv[2:]))
