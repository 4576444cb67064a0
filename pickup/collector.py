"""One look through maildrop/: each file becomes a message, or a notice to its sender, or is set aside."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable

from pillarbox.lib.address import AddressSyntaxError, parse_mailbox
from pillarbox.lib.address.verp import good_delimiters
from pillarbox.lib.clients.bounce import BounceClient
from pillarbox.lib.clients.cleanup import CleanupClient, Message, Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.content import CONTENT_FILTER, RECEIVE_OVERRIDE_OPTIONS
from pillarbox.lib.config.parameters.general import MYHOSTNAME, MYORIGIN, QUEUE_DIRECTORY, SOFT_BOUNCE
from pillarbox.lib.config.parameters.verp import DEFAULT_VERP_DELIMITERS, VERP_DELIMITER_FILTER
from pillarbox.lib.delivery import BOUNCED, Content, Result
from pillarbox.lib.log import log
from pillarbox.lib.message.trace import received_local
from pillarbox.lib.queue import CorruptQueueFile, Envelope, Recipient
from pillarbox.lib.queue.directories import MAILDROP
from pillarbox.lib.queue.edits import Edits
from pillarbox.lib.queue.maildrop import BadSubmission, Submission, Wishes, read_submission
from pillarbox.lib.system.files import UnsafeFile, open_regular
from pillarbox.pickup.milters import LocalMilters
from pillarbox.pickup.requeue import Busy, is_requeued, requeue

LITTER_AGE = 7 * 86400.0
"""Seconds after which a file in the making is taken to be forgotten: no message takes a week to type."""

FUTURE_SLACK = 60.0

NO_WISHES = Wishes()


class Collector:
    """Looks through one maildrop directory.  `tick` is called between files, to show life."""

    def __init__(
        self,
        config: Config,
        cleanup: CleanupClient,
        bounce: BounceClient,
        clock: Callable[[], float] = time.time,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._directory = f"{config[QUEUE_DIRECTORY]}/{MAILDROP}"
        self._corrupt = f"{config[QUEUE_DIRECTORY]}/corrupt"
        self._cleanup = cleanup
        self._milters = LocalMilters(config)
        self._bounce = bounce
        self._clock = clock
        self._tick = tick
        self._host = config[MYHOSTNAME]
        self._origin = config[MYORIGIN]
        self._soft_bounce = config[SOFT_BOUNCE]
        self._filter = config[CONTENT_FILTER]
        overrides = config[RECEIVE_OVERRIDE_OPTIONS]
        self._overrides = " ".join(overrides)
        self._default_verp = config[DEFAULT_VERP_DELIMITERS]
        self._verp_allowed = config[VERP_DELIMITER_FILTER]
        self._complained: set[str] = set()

    def collect(self) -> int:
        """Take all that is there; how many messages were taken.  What cannot be taken now stays for the next time."""
        try:
            names = os.listdir(self._directory)
        except OSError as error:
            log.error(f"{self._directory}: {error.strerror}")
            return 0
        taken = 0
        for name in names:
            self._tick()
            if name.startswith("."):
                self._sweep(name)
                continue
            try:
                taken += self._one(name)
            except ServiceUnavailable as error:
                log.warning(f"{name}: not taken yet: {error.reason}")
                break  # the next file would fare no better
        self._complained.intersection_update(names)
        return taken

    def _one(self, name: str) -> bool:
        """Take one file; whether it became a message.  Raises ServiceUnavailable."""
        path = f"{self._directory}/{name}"
        try:
            descriptor = open_regular(path)
        except FileNotFoundError:
            return False
        except UnsafeFile as error:
            self._refuse(name, error.strerror or "unsafe")
            return False
        except OSError as error:
            self._complain(name, f"open: {error.strerror}")
            return False
        try:
            try:
                if is_requeued(name, descriptor):
                    done = self._requeue(name, descriptor)
                    if done is not None:
                        os.unlink(path)
                    return bool(done)
                submission = read_submission(descriptor)
            except (BadSubmission, CorruptQueueFile) as error:
                self._set_aside(name, str(error))
                return False
            except OSError as error:
                self._complain(name, f"read: {error.strerror}")
                return False
            done = self._submit(descriptor, submission)
            if done is None:
                return False
            os.unlink(path)
            return done
        finally:
            os.close(descriptor)

    def _requeue(self, name: str, descriptor: int) -> bool | None:
        """Pass a queue file that came back through cleanup; the results are those of `_submit`."""
        try:
            return requeue(name, descriptor, self._cleanup, self._bounce, self._host)
        except Busy:
            return None  # the next look comes within a minute
        except EOFError as error:
            raise CorruptQueueFile(str(error)) from None
        except Rejected as error:
            # It was accepted once and is not to be lost for a rule of today: a person decides.
            self._complain(name, f"requeue: {error}; it stays in maildrop/")
            return None

    def _submit(self, descriptor: int, submission: Submission) -> bool | None:
        """Hand a submission to cleanup: True where it was taken, False where it never will be, None for not now."""
        status = os.fstat(descriptor)
        sender = self._sender(submission, status.st_uid)
        recipients, wrong = self._recipients(submission)
        now = self._clock()
        # The file's time is the submitter's to set: neither the future nor the distant past shall decide on expiry.
        arrival = status.st_mtime if now - LITTER_AGE < status.st_mtime < now + FUTURE_SLACK else now
        envelope = Envelope(
            sender=sender,
            recipients=recipients,
            arrival=arrival,
            envid=submission.envid,
            ret=submission.ret,
            body=submission.body,
            smtputf8=submission.smtputf8,
            requiretls=submission.requiretls,
            filter=self._filter,
            overrides=self._overrides,
            verp=self._delimiters(submission) if sender else "",
            report=submission.report,
            origin="gateway" if submission.gateway else "pickup",
            uid=status.st_uid,
            full_name=submission.full_name,
            service="pickup",
        )
        content = Content(descriptor, submission.offset, submission.length)
        message = self._cleanup.open()
        with contextlib.closing(_Aborting(message)):
            queue_id = message.queue_id
            log.info(f"{queue_id}: uid={status.st_uid} from=<{sender}>")
            if wrong:
                reason = Rejected(501, "5.1.3", "bad recipient address syntax")
                self._tell_sender(queue_id, envelope, wrong, reason, content)
            if not recipients:
                return False
            message.begin(envelope, examine=bool(self._milters))
            message.write(received_local(host=self._host, queue_id=queue_id, uid=status.st_uid, when=arrival))
            try:
                for chunk in content.chunks():
                    message.write(chunk)
                message.commit(self._edits(message, envelope))
            except EOFError as error:
                log.warning(f"{queue_id}: {error}")
                return None
            except Rejected as error:
                if error.code < 500 or self._soft_bounce:
                    log.warning(f"{queue_id}: not taken yet: {error}")
                    return None
                log.info(f"{queue_id}: reject: {error}; from=<{sender}>")
                self._tell_sender(queue_id, envelope, recipients, error, content)
                return False
        return True

    def _edits(self, message: Message, envelope: Envelope) -> Edits | None:
        """What milters make of a complete message.  Raises Rejected, ServiceUnavailable."""
        examined = message.examine() if self._milters else None
        if examined is None:
            return None
        try:
            return self._milters.show(message.queue_id, envelope, examined)
        finally:
            examined.close()

    def _sender(self, submission: Submission, uid: int) -> str:
        """The reverse-path: qualified; one that is no address becomes the submitter's uid, so that reports arrive."""
        if not submission.sender:
            return ""
        try:
            return self._qualified(submission.sender)
        except AddressSyntaxError:
            return f"{uid}@{self._origin}"

    def _delimiters(self, submission: Submission) -> str:
        """Those of VERP; what may not be asked for is not granted, as nobody is there to be told."""
        delimiters = self._default_verp if submission.verp == "default" else submission.verp
        if delimiters and not good_delimiters(delimiters, self._verp_allowed):
            log.warning(f"VERP delimiters {delimiters!r} are not two characters of verp_delimiter_filter: ignored")
            return ""
        return delimiters

    def _recipients(self, submission: Submission) -> tuple[tuple[Recipient, ...], tuple[Recipient, ...]]:
        """Those that are addresses, and those that are none."""
        good, wrong = [], []
        for index, text in enumerate(submission.recipients):
            wishes = submission.wishes.get(index, NO_WISHES)
            notify = wishes.notify or submission.notify
            try:
                good.append(Recipient(self._qualified(text), orcpt=wishes.orcpt, notify=notify))
            except AddressSyntaxError:
                wrong.append(Recipient(text, orcpt=wishes.orcpt, notify=notify))
        return tuple(good), tuple(wrong)

    def _qualified(self, text: str) -> str:
        address = parse_mailbox(text, allow_bare=True)
        return str(address) if address.domain else f"{address}@{self._origin}"

    def _tell_sender(
        self,
        queue_id: str,
        envelope: Envelope,
        recipients: tuple[Recipient, ...],
        reason: Rejected,
        content: Content,
    ) -> None:
        """What would be a 5xx reply to a client is a report to one who has gone.  Raises ServiceUnavailable."""
        for number, recipient in enumerate(recipients):
            result = Result(number, BOUNCED, reason.enhanced, reason.text)
            self._bounce.append("bounce", queue_id, recipient, result, fresh=number == 0)
        self._bounce.flush(queue_id, envelope, content.fd, content.offset, content.size)

    # --- what is no submission
    def _sweep(self, name: str) -> None:
        """Remove a file in the making that was forgotten."""
        path = f"{self._directory}/{name}"
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and self._clock() - status.st_mtime > LITTER_AGE:
                os.unlink(path)

    def _refuse(self, name: str, reason: str) -> None:
        """Not a plain file with one name: take the name away, whatever it stands for stays where else it is."""
        log.warning(f"maildrop/{name} {reason}: removed")
        try:
            os.unlink(f"{self._directory}/{name}")
        except OSError as error:
            self._complain(name, f"remove: {error.strerror}")

    def _set_aside(self, name: str, reason: str) -> None:
        log.warning(f'saving corrupt file "{name}" from queue "maildrop" to queue "corrupt": {reason}')
        try:
            os.rename(f"{self._directory}/{name}", f"{self._corrupt}/maildrop-{name}")
        except OSError as error:
            self._complain(name, f"set aside: {error.strerror}")

    def _complain(self, name: str, text: str) -> None:
        """Once per file: it is seen again every minute."""
        if name not in self._complained:
            self._complained.add(name)
            log.warning(f"maildrop/{name}: {text}")


class _Aborting:
    """Withdraws a message that was not committed."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def close(self) -> None:
        self._message.abort()
