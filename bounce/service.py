"""The requests of `lib.clients.bounce`, each a task of its own; answers carry the request's tag."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from pillarbox.bounce.logs import REPORTED, TOLD_LATE, WARNED, Logs
from pillarbox.bounce.notices import Notices, Subject
from pillarbox.lib.clients.cleanup import Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.delivery import Content
from pillarbox.lib.ipc import AsyncChannel, Attributes, ChannelClosed, Outbox, ProtocolError, encode_frame
from pillarbox.lib.log import log
from pillarbox.lib.queue import Envelope
from pillarbox.lib.queue.outcomes import Outcome

OUTCOMES_PER_FRAME = 5
"""Outcomes in one answer to `read`: four texts of 4,000 characters each, escaped sixfold, stay below FRAME_LIMIT."""

SIGN_OF_LIFE = 20.0
"""Seconds after which, again and again, whoever waits for reports is told that they are being written."""

LONG = frozenset(("flush", "warn"))
"""The requests that may take long: the reports on a million recipients take minutes."""

Reply = dict[str, object]


class Service:
    """Answers requests on any number of channels."""

    def __init__(self, logs: Logs, notices: Notices) -> None:
        self._logs = logs
        self._notices = notices
        self._verbs: dict[str, Callable[[Attributes], Awaitable[Reply]]] = {
            "append": self._append,
            "flush": self._flush,
            "warn": self._warn,
            "forget": self._forget,
            "read": self._read,
        }

    async def handle(self, channel: AsyncChannel) -> None:
        """Serve one connection until it ends.  Raises ProtocolError for what is no request."""
        tasks: set[asyncio.Task[None]] = set()
        outbox = Outbox(channel, lambda error: log.warning("the queue manager has gone before it took an answer"))

        async def answer(frame: Attributes, verb: Callable[[Attributes], Awaitable[Reply]]) -> None:
            tag = frame.integer("tag")

            def say(reply: Reply) -> None:
                outbox.put(encode_frame({**reply, "tag": tag}))

            if frame.text("do") not in LONG:
                say(await self._answer(frame, verb))
                return
            work = asyncio.get_running_loop().create_task(self._answer(frame, verb))
            while not (await asyncio.wait((work,), timeout=SIGN_OF_LIFE))[0]:
                if not channel.closed:
                    say({"ok": True, "working": True})
            say(work.result())

        try:
            while True:
                frame = await channel.receive()
                verb = self._verbs.get(frame.text("do"))
                if verb is None:
                    raise ProtocolError(f'there is no request "{frame.text("do")}"')
                frame.integer("tag")
                task = asyncio.get_running_loop().create_task(answer(frame, verb))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except ChannelClosed:
            # What the queue manager had sent and we have not read holds its messages' files, and so their locks.
            channel.close()
            # A report that is under way is finished, or it would be written twice.
            if tasks:
                await asyncio.wait(tasks)
            await outbox.flushed()
        except ProtocolError as error:
            outbox.put(encode_frame({"ok": False, "why": str(error), "tag": 0}))
            await outbox.flushed()
            raise

    async def _answer(self, frame: Attributes, verb: Callable[[Attributes], Awaitable[Reply]]) -> Reply:
        try:
            return {"ok": True, **await verb(frame)}
        except ServiceUnavailable as error:
            return {"ok": False, "why": error.reason}
        except Rejected as error:
            return {"ok": False, "why": f"cleanup: {error}"}
        except OSError as error:
            return {"ok": False, "why": f"{error.filename or 'log'}: {error.strerror}"}
        except (ProtocolError, ValueError) as error:
            log.warning(f"bad request: {error}")
            return {"ok": False, "why": str(error)}
        except EOFError as error:
            return {"ok": False, "why": str(error)}
        finally:
            for descriptor in frame.fds:
                os.close(descriptor)

    async def _append(self, frame: Attributes) -> Reply:
        outcome = Outcome.parse(frame.attributes("outcome"))
        fresh = frame.boolean("fresh", False)
        tidy = frame.boolean("tidy", False)
        await self._logs.append(frame.text("kind"), frame.text("id"), outcome, fresh=fresh, tidy=tidy)
        return {}

    async def _flush(self, frame: Attributes) -> Reply:
        subject = _subject(frame)
        queue_id = subject.queue_id
        ids = await self._notices.final(subject, self._logs.path("bounce", queue_id))
        if subject.envelope.report == "record" and not self._logs.marked(queue_id, REPORTED):
            paths = [self._logs.path(kind, queue_id) for kind in ("bounce", "defer")]
            ids += await self._notices.attempt(subject, paths)
            self._logs.mark_told(queue_id, REPORTED)
        self._logs.remove(queue_id, ("bounce",))
        return {"ids": ids}

    async def _warn(self, frame: Attributes) -> Reply:
        subject = _subject(frame)
        queue_id = subject.queue_id
        late = self._notices.is_late(subject.envelope)
        if self._logs.told(queue_id, TOLD_LATE if late else WARNED):
            return {"ids": []}
        ids = await self._notices.delay(subject, self._logs.path("defer", queue_id), late=late)
        self._logs.mark_told(queue_id, TOLD_LATE | WARNED if late else WARNED)
        return {"ids": ids}

    async def _forget(self, frame: Attributes) -> Reply:
        self._logs.remove(frame.text("id"))
        return {}

    async def _read(self, frame: Attributes) -> Reply:
        found = self._logs.read(frame.text("kind"), frame.text("id"))
        skip = frame.integer("skip", 0)
        part = found[skip : skip + OUTCOMES_PER_FRAME]
        return {"outcomes": [one.members() for one in part], "more": skip + len(part) < len(found)}


def _subject(frame: Attributes) -> Subject:
    if len(frame.fds) != 1:
        raise ProtocolError("one descriptor, the queue file's, was expected")
    content = Content(frame.fds[0], frame.integer("offset"), frame.integer("length"))
    envelope = Envelope.parse(frame.attributes("envelope"), ())
    return Subject(frame.text("id"), envelope, content, marked=frame.boolean("marked", False))
