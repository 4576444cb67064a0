"""`sendmail -bs`: SMTP on standard input and output, for programs that know no other way; into maildrop/ like the rest.

The grammar is that of `lib.smtp`.  There is no network, no client to distrust and no access policy: who can run this
could hand the message in directly.
"""

from __future__ import annotations

import os

from pillarbox.commands.sendmail import (
    EX_OK,
    EX_UNAVAILABLE,
    READ_SIZE,
    Failure,
    Options,
    Submission,
    TooBig,
    envelope_lines,
    poke,
)
from pillarbox.lib.config import Config, ConfigError, load
from pillarbox.lib.config.parameters.general import MAIL_NAME, MESSAGE_SIZE_LIMIT, MYHOSTNAME, QUEUE_DIRECTORY
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Close, Content, Data, End, Event, Hello, Mail, Rcpt, Reset, Verify
from pillarbox.lib.smtp.profile import Profile
from pillarbox.lib.smtp.reply import Reply
from pillarbox.lib.smtp.server import ServerSession

_QUEUED = Reply.of("250 2.0.0 Ok: queued")
_NO = Reply.of("502 5.5.1 Error: command not implemented")


class Dialogue:
    """Turns the events of a session into submissions."""

    def __init__(self, options: Options, config: Config) -> None:
        self._options = options
        self._queue = config[QUEUE_DIRECTORY]
        self._limit = config[MESSAGE_SIZE_LIMIT]
        host = config[MYHOSTNAME]
        self.session = ServerSession(
            Profile(
                host=host,
                greeting=f"{host} ESMTP {config[MAIL_NAME]}",
                size_limit=self._limit,
                binarymime=False,
                deliver_by=None,
                forbid_pipelining=False,  # a program that writes its whole script into a pipe is no spammer
                hard_error_limit=0,
                soft_error_limit=0,
            )
        )
        self._mail = Mail("")
        self._recipients: dict[str, list[str]] = {}
        self._submission: Submission | None = None

    def take(self, event: Event) -> None:
        """Answer one event."""
        session = self.session
        match event:
            case Hello():
                session.answer_hello()
            case Mail():
                self._mail, self._recipients = event, {}
                session.answer(replies.SENDER_OK)
            case Rcpt():
                self._recipients.setdefault(event.recipient, _wishes(event))
                session.answer(replies.RECIPIENT_OK)
            case Verify():
                session.answer(replies.verified(event.argument))
            case Data():
                session.answer(replies.START_DATA if self._begin() else replies.WRITE_ERROR)
            case Content():
                self._write(event.data)
            case End():
                session.answer(_QUEUED if self._commit() else replies.WRITE_ERROR)
            case Reset() | Close():
                self.close()
            case _:
                if session.waiting:
                    session.answer(_NO)

    def _begin(self) -> bool:
        options = Options()
        options.full_name = self._options.full_name
        options.envid, options.ret, options.body = self._mail.envid, self._mail.ret, self._mail.body
        options.smtputf8 = self._mail.smtputf8
        try:
            envelope = envelope_lines(options, self._mail.sender, list(self._recipients), self._recipients)
            self._submission = Submission(self._queue, self._limit, envelope)
        except Failure:
            return False
        return True

    def _write(self, data: bytes) -> None:
        if self._submission is not None:
            try:
                self._submission.write(data)
            except (OSError, TooBig):
                self.close()

    def _commit(self) -> bool:
        if self._submission is None:
            return False
        try:
            self._submission.commit()
        except OSError:
            return False
        finally:
            self.close()
        poke(self._queue)
        return True

    def close(self) -> None:
        """Drop what is not committed."""
        if self._submission is not None:
            self._submission.close()
            self._submission = None


def _wishes(event: Rcpt) -> list[str]:
    """NOTIFY and ORCPT of a recipient, as lines of a submission."""
    lines = [f"recipient_notify {','.join(event.notify)}"] if event.notify else []
    return [*lines, f"recipient_orcpt {event.orcpt}"] if event.orcpt else lines


def serve(options: Options) -> int:
    """Hold the dialogue until QUIT or the end of the input.  Raises Failure."""
    try:
        config = load(options.config)
    except ConfigError as error:
        raise Failure(str(error).partition("\n")[0], EX_UNAVAILABLE) from None
    dialogue = Dialogue(options, config)
    session = dialogue.session
    session.greet()
    try:
        while True:
            while (event := session.next_event()) is not None:
                dialogue.take(event)
            output = memoryview(session.take_output())
            while output:
                output = output[os.write(1, output) :]
            if session.closed:
                return EX_OK
            data = os.read(0, READ_SIZE)
            if not data:
                return EX_OK
            session.feed(data)
    except BrokenPipeError:
        return EX_OK
    finally:
        dialogue.close()
