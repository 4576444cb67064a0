"""Who has sent a submitted message named in its header (RFC 6409 section 8.1).

smtpd says by the attribute `submission` of the envelope that an authenticated client of a submission service has sent
it.  Addresses are rewritten by `address_fields`; Date:, Message-ID: and From: are added by `header`.
"""

from __future__ import annotations

from collections.abc import Callable

from pillarbox.lib.address.header import parse_address_list
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MYORIGIN
from pillarbox.lib.config.parameters.smtpd_access import SMTPD_SENDER_LOGIN_MAPS
from pillarbox.lib.config.parameters.smtpd_auth import SUBMISSION_SENDER_HEADER
from pillarbox.lib.message.header import Field, scan
from pillarbox.lib.queue import Envelope

MAILBOX_LIMIT = 20
"""Mailboxes in From: that are looked at; with more of them the sender must be named anyway."""

Owns = Callable[[str], bool]
"""Whether the authenticated user owns an address; may raise what the look-up raises."""


class SubmissionRules:
    """The rules of one configuration."""

    def __init__(self, config: Config) -> None:
        self._origin = config[MYORIGIN]
        self._policy = config[SUBMISSION_SENDER_HEADER]
        self.login_maps = config[SMTPD_SENDER_LOGIN_MAPS]

    def apply(self, header: bytes, envelope: Envelope, owners: Callable[[str], frozenset[str]]) -> bytes:
        """The header block (each line with its LF, without the empty line), mended as the envelope says.

        `owners(address)` gives the login names that own an address, in lower case.
        """
        if envelope.attributes.get("submission") and envelope.sasl_username and self._policy != "never":
            header = self._with_sender(header, envelope.sasl_username, owners)
        return header

    def _with_sender(self, header: bytes, username: str, owners: Callable[[str], frozenset[str]]) -> bytes:
        fields = list(scan(header))
        # A message that is sent on is answered for by whoever sends it on (RFC 5322 section 3.6.6).
        resent = b"resent-" if any(field.name.lower() == b"resent-from" for field in fields) else b""
        authors = [field for field in fields if field.name.lower() == resent + b"from"]
        senders = [field for field in fields if field.name.lower() == resent + b"sender"]
        if resent:
            authors, senders = authors[:1], senders[:1]  # the topmost block is the latest
        account = username if "@" in username else f"{username}@{self._origin}"

        def owned(address: str) -> bool:
            return address.casefold() == account.casefold() or username.casefold() in owners(address)

        if not authors or not self._wanted(header, authors, senders, account, owned):
            return header
        line = (b"Resent-Sender: " if resent else b"Sender: ") + account.encode("utf-8", "replace") + b"\n"
        place = authors[-1].end
        cut = sorted((field.start, field.end) for field in senders)
        mended = header[:place] + line + header[place:]
        for start, end in reversed(cut):
            shift = len(line) if start >= place else 0
            mended = mended[: start + shift] + mended[end + shift :]
        return mended

    def _wanted(self, header: bytes, authors: list[Field], senders: list[Field], account: str, owned: Owns) -> bool:
        """Whether the message must say who has sent it."""
        named = _mailboxes(header, authors)
        if self._policy == "always":
            return [address.casefold() for address in named] != [account.casefold()] or bool(senders)
        if senders:
            sent_by = _mailboxes(header, senders)
            return len(senders) != 1 or len(sent_by) != 1 or not owned(sent_by[0])
        return len(named) != 1 or not owned(named[0])


def _mailboxes(header: bytes, fields: list[Field]) -> list[str]:
    """The addresses in these fields; "" for what is none."""
    found: list[str] = []
    for field in fields:
        listed = parse_address_list(header[field.value : field.end].decode("utf-8", "replace"))
        found += [mailbox.address for mailbox in listed.mailboxes[:MAILBOX_LIMIT]]
        found += [""] * len(listed.invalid[:MAILBOX_LIMIT])
    return found
