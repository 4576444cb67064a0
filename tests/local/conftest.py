"""A local delivery agent with users, a lookup service and a cleanup service of the test's own.

As root the users have uids of their own, so that what a step may do is the kernel's answer; as an ordinary user
everything runs as the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.delivery import Content, DeliveryRecipient, DeliveryRequest, Result
from pillarbox.lib.ipc import Channel, ChannelClosed
from pillarbox.local.parent import LocalDelivery

FIRST_UID = 54321
NOBODY_UID = 54399


class Services:
    """Answers for lookup and cleanup, each connection in a thread."""

    def __init__(self, directory: Path, cleanup: str = "cleanup") -> None:
        directory.mkdir(exist_ok=True)
        self.refusal: tuple[int, str, str] | None = None
        self.refused_for = ""
        """Mail to this address is refused for the time being."""
        self.aliases: dict[str, str] = {}
        self.table = 0
        """The number of the table that has the alias."""
        self.broken = False
        self.received: list[tuple[dict[str, object], bytes]] = []
        self.counting = False
        """Recipients are counted, in `counts`, and not kept."""
        self.counts: list[int] = []
        self.tables: dict[str, dict[str, str]] = {}
        """Other tables than alias_maps, by parameter."""
        self._sockets = []
        for name, serve in (("lookup", self._lookup), (cleanup, self._cleanup)):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(directory / name))
            listener.listen(20)
            self._sockets.append(listener)
            threading.Thread(target=self._accept, args=(listener, serve), daemon=True).start()

    def _accept(self, listener: socket.socket, serve: Callable[[Channel], None]) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._sockets.append(connection)
            threading.Thread(target=self._quietly, args=(serve, Channel(connection)), daemon=True).start()

    def _quietly(self, serve: Callable[[Channel], None], channel: Channel) -> None:
        try:
            serve(channel)
        except (ChannelClosed, OSError):
            pass
        finally:
            channel.close()

    def _lookup(self, channel: Channel) -> None:
        while True:
            request = channel.receive()
            tag: dict[str, object] = {"tag": request.integer("tag")} if "tag" in request else {}
            if self.broken:
                channel.send({"ok": False, "why": "the alias table is broken", **tag})
                continue
            table = self.tables.get(request.text("parameter"), self.aliases)
            value = table.get(request.text("key"))
            channel.send({"ok": True, **({"table": self.table, "value": value} if value is not None else {}), **tag})

    def _cleanup(self, channel: Channel) -> None:
        number = 1000
        reply: dict[str, object] = {"ok": True, "prepared": number}
        while True:
            channel.send(reply)
            frame = last = channel.receive()
            groups = list(frame.groups("recipients"))
            count = len(groups)
            while last.boolean("more", False):
                last = channel.receive()
                count += len(last.groups("recipients"))
                groups += () if self.counting else last.groups("recipients")
            self.counts.append(count)
            recipients = [item.text("address") for item in groups]
            content = b""
            while chunk := channel.read_chunk():
                content += chunk
            envelope: dict[str, object] = {
                "envid": "",
                "ret": "",
                "deliver_by": "",
                **frame.attributes("envelope"),
                "recipients": recipients,
                "notify": [item.texts("notify", []) for item in groups],
                "originals": [item.text("original", "") for item in groups],
                "orcpts": [item.text("orcpt", "") for item in groups],
            }
            number += 1
            refusal = (451, "4.3.0", "later") if self.refused_for in recipients else self.refusal
            if refusal is not None:
                code, enhanced, text = refusal
                reply = {"ok": False, "code": code, "enhanced": enhanced, "text": text, "prepared": number}
                continue
            self.received.append((envelope, content))
            reply = {"ok": True, "prepared": number, "size": len(content)}

    def close(self) -> None:
        for each in self._sockets:
            # A thread that waits in accept() would go on with whatever gets the number next: the next test's listener.
            with contextlib.suppress(OSError):  # that has gone already
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@dataclass
class Person:
    name: str
    uid: int
    home: Path


@dataclass
class House:
    """What a test works with."""

    path: Path
    services: Services
    people: dict[str, Person] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)

    @property
    def spool(self) -> Path:
        return self.path / "spool-mail"

    def write(self, person: str, name: str, text: str, mode: int = 0o644, uid: int | None = None) -> Path:
        """Put a file into a person's home."""
        path = self.people[person].home / name
        path.write_text(text)
        path.chmod(mode)
        if os.geteuid() == 0:
            os.chown(path, self.people[person].uid if uid is None else uid, -1)
        return path

    def deliver(
        self,
        *addresses: str,
        content: bytes = b"Subject: hi\n\nHello\n",
        sender: str = "s@example.org",
        recipients: tuple[DeliveryRecipient, ...] = (),
        original: str = "",
        queue_id: str = "4jXFYl6dnjzKD6m",
        together: bool = False,
        **conditions: Any,
    ) -> list[Result]:
        """Deliver one message to each address, in turn or all at once; the results."""
        config = Config.for_tests(
            queue_directory=str(self.path),
            mail_spool_directory=str(self.spool),
            myhostname="mx.example.com",
            myorigin="example.com",
            default_privs=f"{NOBODY_UID}:{NOBODY_UID}",
            **self.options,
        )
        queue_file = self.path / f"queue-{time.monotonic_ns()}"
        queue_file.write_bytes(b"envelope" + content)

        async def run() -> list[Result]:
            delivery = LocalDelivery(config)

            async def one(number: int, address: str) -> Sequence[Result]:
                fd = os.open(queue_file, os.O_RDONLY)
                request = DeliveryRequest(
                    tag=number,
                    queue_id=queue_id,
                    sender=sender,
                    recipients=recipients or (DeliveryRecipient(0, address, original),),
                    content=Content(fd, 8, len(content)),
                    transport="local",
                    nexthop="example.com",
                    arrival=time.time(),
                    active=time.time(),
                    taken=time.time(),
                    **conditions,
                )
                found, _ = await delivery.deliver(request)
                request.close()
                return found

            work = [one(number, address) for number, address in enumerate(addresses)]
            found = await asyncio.gather(*work) if together else [await each for each in work]
            await delivery.close()
            return [result for results in found for result in results]

        return asyncio.run(run())


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    for parent in (tmp_path, *tmp_path.parents[:3]):  # one more below pytest-xdist
        if os.geteuid() == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    (tmp_path / "private").mkdir()
    house = House(tmp_path, Services(tmp_path / "private"))
    house.spool.mkdir()
    for number, name in enumerate(("ann", "bob")):
        home = tmp_path / name
        home.mkdir(mode=0o755)
        uid = FIRST_UID + number if os.geteuid() == 0 else os.geteuid()
        if os.geteuid() == 0:
            os.chown(home, uid, uid)
        house.people[name] = Person(name, uid, home)

    def entry(person: Person) -> pwd.struct_passwd:
        return pwd.struct_passwd((person.name, "x", person.uid, person.uid, "", str(person.home), "/bin/sh"))

    def by_name(name: str) -> pwd.struct_passwd:
        return entry(house.people[name])

    def by_uid(uid: int) -> pwd.struct_passwd:
        for person in house.people.values():
            if person.uid == uid:
                return entry(person)
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwnam", by_name)
    monkeypatch.setattr(pwd, "getpwuid", by_uid)
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid])
    yield house
    house.services.close()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="users with uids of their own need root")
