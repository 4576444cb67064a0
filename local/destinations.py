"""Where a user's mail ends: mbox files, Maildirs, other files, commands.

Everything here happens with the rights of the process, which are the user's already.  Each way of delivery returns what
became of it, or raises DeliveryFailure, OSError (a disk, a queue file) or EOFError (a queue file cut short).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_SYSTEM_MAIL
from pillarbox.lib.config.parameters.local import (
    COMMAND_EXECUTION_DIRECTORY,
    COMMAND_TIME_LIMIT,
    DELIVER_LOCK_ATTEMPTS,
    DELIVER_LOCK_DELAY,
    EXECUTION_DIRECTORY_EXPANSION_FILTER,
    HOME_MAILBOX,
    LOCAL_COMMAND_SHELL,
    MAIL_SPOOL_DIRECTORY,
    MAILBOX_DELIVERY_LOCK,
    MAILBOX_SIZE_LIMIT,
    STALE_LOCK_TIME,
    STRICT_MAILBOX_OWNERSHIP,
)
from pillarbox.lib.delivery.command import command_line, run_command
from pillarbox.lib.delivery.delivered import delivered_lines
from pillarbox.lib.store import open_store
from pillarbox.lib.store.delivering import Delivery, from_store_error
from pillarbox.lib.store.interface import INBOX, StoreError
from pillarbox.lib.store.maildir.writer import MaildirDelivery, MaildirWriter
from pillarbox.lib.store.mbox.quoting import from_line
from pillarbox.lib.store.mbox.writer import MboxOptions, deliver_to_mbox
from pillarbox.local.environment import command_environment
from pillarbox.local.macros import expand_macros, user_macros
from pillarbox.local.steps import Message, Outcome
from pillarbox.local.users import User

_DISCARD: Final = "/dev/null"
_FILES: Final = ("maildir", "mbox")
"""Kinds of stores of which home_mailbox and mail_spool_directory say where their INBOX is."""

Chunks = Callable[[], Iterable[bytes]]
"""Gives a message's content, each time from the beginning."""


class Destinations:
    """The ways of delivery that `user` has; the process already runs as that user."""

    def __init__(
        self,
        config: Config,
        user: User,
        lock_spool: Callable[[], None] | None = None,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        """`lock_spool` has the parent lock the user's mailbox in a spool where only root may make files, until the job
        is done.  Raises StoreError.  `settle` is called before anything that may take time."""
        self.lock_spool = lock_spool
        self.settle = settle
        self.config = config
        self.user = user
        self._writer = MaildirWriter()

    @property
    def store(self) -> str:
        """The location of all of the user's mailboxes where they are no files for local to find: in a database."""
        return database(self.config, self.user)

    @property
    def inbox(self) -> str:
        """The user's own mailbox: home_mailbox, else the one in the spool; a Maildir ends in "/".

        Where there is a `store`, its INBOX, for which this stands, lies there instead.
        """
        config, user = self.config, self.user
        if home := config[HOME_MAILBOX]:
            return f"{user.home}/{home}"
        spool = config[MAIL_SPOOL_DIRECTORY]
        return f"{spool.rstrip('/')}/{user.name}{'/' if spool.endswith('/') else ''}"

    def mailbox(self, message: Message, path: str) -> Outcome:
        """Deliver into a mailbox of the user's: a Maildir where `path` ends in "/", else an mbox file."""
        if message.report:
            return Outcome.sent("delivers to maildir" if self._is_maildir(path) else "delivers to mailbox")
        self.put(message, path)
        return Outcome.sent("delivered to maildir" if self._is_maildir(path) else "delivered to mailbox")

    def _is_maildir(self, path: str) -> bool:
        return path.endswith("/") and not (self.store and path == self.inbox)

    def file(self, message: Message, path: str) -> Outcome:
        """Deliver into a file or Maildir that an alias or a forward file names."""
        if message.report:
            return Outcome.sent(f"delivers to file: {path}")
        if path.endswith("/"):
            self.put(message, path)
            return Outcome.sent("delivered to maildir")
        if path != _DISCARD:
            self._mbox(message, path, mailbox=False)
        return Outcome.sent(f"delivered to file: {path}")

    def command(self, message: Message, command: str) -> Outcome:
        """Deliver to a command: a line for a shell, or without one where nothing in it is special."""
        if message.report:
            return Outcome.sent(f"delivers to command: {command}")
        config = self.config
        shell = config[LOCAL_COMMAND_SHELL]
        argv = [*shell.split(), "-c", command] if shell else command_line(command)
        directory = self.user.home
        if wanted := config[COMMAND_EXECUTION_DIRECTORY]:
            macros = user_macros(message, self.user, config[EXECUTION_DIRECTORY_EXPANSION_FILTER])
            directory = expand_macros(wanted, macros, config)
        if not os.access(directory, os.X_OK):
            directory = "/"
        run_command(
            argv,
            command_input(message),
            command_environment(config, message, self.user),
            directory=directory,
            time_limit=config[COMMAND_TIME_LIMIT],
            shown=command,
        )
        return Outcome.sent(f"delivered to command: {command}")

    def put(
        self,
        message: Message,
        path: str,
        chunks: Chunks | None = None,
        folder: str = "",
        flags: tuple[str, ...] = (),
        *,
        create: bool = False,
    ) -> None:
        """Deliver into a mailbox, as `mailbox` does, or a folder of a Maildir; `chunks` gives another content.

        An mbox file keeps no flags.
        """
        if self.store and path == self.inbox:
            self.put_in_store(message, chunks, folder or INBOX, flags, create=create)
            return
        if not path.endswith("/"):
            self._mbox(message, path, chunks)
            return
        (failure,) = self._writer.deliver([self.delivery(message, path, chunks, folder, flags, create=create)])
        if failure is not None:
            raise failure

    def put_in_store(
        self,
        message: Message,
        chunks: Chunks | None,
        folder: str,
        flags: tuple[str, ...] = (),
        *,
        create: bool = False,
        location: str = "",
    ) -> None:
        """Deliver into a mailbox of the store, or of that at another location."""

        def pieces() -> Iterator[bytes]:
            yield prepended(message)
            yield from message.content.chunks() if chunks is None else chunks()

        try:
            store = open_store(location or self.store)
            try:
                (failure,) = store.deliver([Delivery(pieces, folder, flags, create)])
            finally:
                store.close()
        except StoreError as error:
            failure = from_store_error(error, "cannot open the mailbox", tempfail=True)
        if failure is not None:
            raise failure

    @staticmethod
    def delivery(
        message: Message,
        path: str,
        chunks: Chunks | None = None,
        folder: str = "",
        flags: tuple[str, ...] = (),
        *,
        create: bool = False,
    ) -> MaildirDelivery:
        """What is to be done to put a message into the Maildir `path`; arguments as of `put`."""
        content = message.content
        if chunks is None and not content.in_file:
            chunks = content.chunks
        where = path.rstrip("/")
        return MaildirDelivery(
            where, prepended(message), content.fd, content.offset, content.size, chunks, folder, flags, create
        )

    def _mbox(self, message: Message, path: str, chunks: Chunks | None = None, *, mailbox: bool = True) -> None:
        config = self.config
        options = MboxOptions(
            size_limit=config[MAILBOX_SIZE_LIMIT],
            owner=os.geteuid() if mailbox and config[STRICT_MAILBOX_OWNERSHIP] else None,
            mailbox=mailbox,
            dot_lock="dotlock" in config[MAILBOX_DELIVERY_LOCK],
            lock_timeout=config[DELIVER_LOCK_ATTEMPTS] * config[DELIVER_LOCK_DELAY],
            stale_after=config[STALE_LOCK_TIME],
            denied=self.lock_spool if path == self.inbox else None,
        )
        pieces = message.content.chunks() if chunks is None else chunks()
        deliver_to_mbox(path, message.sender, message.arrival, prepended(message), pieces, options)


def database(config: Config, user: User) -> str:
    """The location of the user's mailboxes, where auth_system_mail puts them into a database; else ""."""
    location = config[AUTH_SYSTEM_MAIL]
    if not location or location.partition(":")[0] in _FILES:
        return ""
    return location.replace("%u", user.name).replace("%h", user.home)


def command_input(message: Message) -> Iterator[bytes]:
    """A message as commands get it: in the form that it has in an mbox file."""
    yield from_line(message.sender, message.arrival) + prepended(message)
    yield from message.content.chunks()


def prepended(message: Message) -> bytes:
    """The lines that delivery puts before the message."""
    return delivered_lines(message.sender, message.original, message.recipient)
