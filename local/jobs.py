"""The children's side: a child gives up rights, then does one job at a time and reports (see `children`)."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import socket
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from pillarbox.lib.clients.cleanup import CleanupClient
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.local import HOME_MAILBOX, MAIL_SPOOL_DIRECTORY, MAILBOX_SIZE_LIMIT
from pillarbox.lib.config.parameters.lookup import ALIAS_MAPS
from pillarbox.lib.ipc import Attributes, Channel, ChannelClosed, ProtocolError, close_all
from pillarbox.lib.process.children import leave_parent
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.interface import MailboxBusy
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.system.libc import set_not_dumpable
from pillarbox.lib.system.privileges import drop_privileges
from pillarbox.local.deliverer import Deliverer
from pillarbox.local.destinations import database
from pillarbox.local.expander import Expander
from pillarbox.local.filings import Filings
from pillarbox.local.identities import default_user
from pillarbox.local.mails import read_mail, send_mail
from pillarbox.local.sending import Sender, Stale
from pillarbox.local.steps import Message, Outcome, Report
from pillarbox.local.users import User

ADDRESSES_PER_FRAME: Final = 700
"""Addresses of the greatest length that fit into a frame."""

Serve = Callable[[Attributes, int], Report]
"""In a child: does a job with a message's descriptor."""

Begin = Callable[[Channel, Filings], Serve]
"""In a child: gives up rights.  What a job needs or finds that is long goes over the channel beside."""


def run_child(theirs: socket.socket, begin: Begin) -> NoReturn:
    """The life of a child: `theirs` is its end of the socket pair, `begin` what it does before its first job."""
    status = 1
    try:
        gc.disable()
        channel = leave_parent(theirs)
        try:
            filings = Filings(channel)
            _serve(channel, begin(channel, filings), filings)
            status = 0
        except ChannelClosed:
            status = 0
        except Exception as error:
            # This process has no log: the parent, which waits for a report, writes it down.
            channel.send({"failed": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(status)


def _serve(channel: Channel, serve: Serve, filings: Filings) -> None:
    """Do jobs.  Those that have arrived together share what `filings` share."""
    while True:
        job: Attributes | None = channel.receive()
        while job is not None:
            if not _serve_one(channel, serve, filings, job):
                return
            job = channel.next_frame()
            if job is None and channel.fill(socket.MSG_DONTWAIT):
                job = channel.next_frame()
        filings.finish()


def _serve_one(channel: Channel, serve: Serve, filings: Filings, job: Attributes) -> bool:
    """Do one job; False: this process is to do no other."""
    filed = False
    try:
        report = serve(job, job.fds[0])
        if report.filing is not None:
            filed = True
            filings.add(report, report.filing, job.fds)
            return True
    except Stale as error:
        filings.finish()
        channel.send({"stale": True, "why": str(error)})
        return False
    finally:
        if not filed:
            close_all(job.fds)
    filings.finish()  # reports go in the order of the jobs
    _send_report(channel, report)
    return True


def _send_report(channel: Channel, report: Report) -> None:
    """In several frames where there are very many addresses, or mails."""
    for outgoing in report.outgoing:
        send_mail(channel, outgoing)
    addresses = report.forward
    while len(addresses) > ADDRESSES_PER_FRAME:
        part = Report(forward=addresses[:ADDRESSES_PER_FRAME])
        channel.send({**part.members(), "more": True})
        addresses = addresses[ADDRESSES_PER_FRAME:]
    report.forward = addresses
    channel.send(report.members())


# --- what children do before their first job


def begin_deliverer(config: Config, user: User, channel: Channel, filings: Filings) -> Serve:
    """In the child: become `user`."""

    def lock_spool() -> None:
        channel.send({"lock": True})
        if why := channel.receive().text("why"):
            raise MailboxBusy(why)

    drop_privileges(user.uid, user.gid, user.all_groups())
    set_not_dumpable()
    if user.uid == 0:
        Confinement(read=(user.home,), write=(_mail_place(config, user),), fork=False, unix=False).apply()
    os.umask(0o077)
    limit = config[MAILBOX_SIZE_LIMIT]
    if limit and not database(config, user):  # which holds more than one mailbox
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # commands have it too, as with local(8)
    deliverer = Deliverer(config, user, lock_spool, filings.finish)

    def serve(job: Attributes, fd: int) -> Report:
        message = Message.parse(job.attributes("message"), fd)
        verb = job.text("do")
        if verb == "user":
            elsewhere, mailbox = job.boolean("elsewhere"), job.boolean("mailbox")
            return deliverer.user(message, job.text("command"), elsewhere=elsewhere, mailbox=mailbox)
        if verb == "keep":
            return deliverer.keep(message)
        argument = job.text("argument")
        if verb == "members":
            try:
                for batch in deliverer.members(message, argument, job.text("signature"), named=job.boolean("named")):
                    channel.send({**Report(forward=batch).members(), "more": True})
            except DeliveryFailure as failure:
                return Report(outcomes=[Outcome.failure(failure)])
            return Report()
        if verb == "include":
            return deliverer.include(message, argument, named=job.boolean("named"))
        if verb == "file":
            return deliverer.file(message, argument)
        if verb == "command":
            return deliverer.command(message, argument)
        raise ProtocolError(f'no job is called "{verb}"')

    return serve


def _mail_place(config: Config, user: User) -> str:
    """The directory of root's mailbox."""
    return user.home if config[HOME_MAILBOX] else config[MAIL_SPOOL_DIRECTORY]


def begin_expander(config: Config, channel: Channel) -> Serve:
    """In the child: connect, become `default_privs`, be confined."""
    lookup, sender = LookupClient(config), Sender(config, CleanupClient(config))
    with contextlib.suppress(ServiceUnavailable):  # the job will meet it again and say so
        lookup.get(ALIAS_MAPS.name, "postmaster")
        sender.connect()
    user = default_user(config)
    drop_privileges(user.uid, user.gid, user.all_groups())
    Confinement(fork=False).apply()
    expander = Expander(config, lookup)

    def batches() -> tuple[Sequence[str], bool]:
        frame = channel.receive()
        return frame.texts("addresses"), frame.boolean("more")

    def serve(job: Attributes, fd: int) -> Report:
        message = Message.parse(job.attributes("message"), fd)
        verb = job.text("do")
        if verb == "expand":
            return expander.expand(message)
        if verb == "unknown":
            return expander.unknown(message)
        if verb == "hand over":
            return Report(outcomes=sender.hand_over(message, job.text("transport")))
        if verb == "forward":
            return Report(outcomes=sender.forward(message, batches, alone=job.boolean("alone")))
        if verb == "mail":
            outgoing = read_mail(job, job.fds[1:])
            return Report(outcomes=[sender.mail(message, outgoing, alone=job.boolean("alone"))])
        raise ProtocolError(f'no job is called "{verb}"')

    return serve
