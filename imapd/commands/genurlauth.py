"""GENURLAUTH (RFC 4467 section 7): the client's URL with a token, by which others may fetch what it names."""

from __future__ import annotations

from functools import partial

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.urlauth import MECHANISM, is_of_this_server, make_token, must_be_on, same_user
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.urls import MessageUrl, parse_url
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import StoreError
from pillarbox.lib.store.url_keys import make_key


def parse(syntax: Syntax) -> Action:
    """1*(SP url-rump SP mechanism)."""
    cursor = syntax.cursor
    urls: list[bytes] = []
    while not urls or not cursor.at_end:
        cursor.space()
        urls.append(cursor.astring())
        cursor.space()
        if cursor.word() != MECHANISM.encode("ascii"):
            raise BadSyntax(f"the only mechanism is {MECHANISM}")
    cursor.end()

    async def run(session: Session) -> Reply:
        must_be_on(session)
        checked = [(raw, _checked(session, parse_url(raw))) for raw in urls]
        authorized = [await _authorized(session, raw, url) for raw, url in checked]
        session.send(response.untagged(b"GENURLAUTH", *map(response.string, authorized)))
        return Reply("Genurlauth completed.")

    return run


def _checked(session: Session, url: MessageUrl | None) -> MessageUrl:
    """A URL that can be authorized.

    Users that it names are not looked for: nobody learns here who there is.  Raises BadSyntax.
    """
    if url is None:
        raise BadSyntax("the URL of a message or of a part of one expected")
    if url.authorization is None:
        raise BadSyntax("missing access identifier in supplied URL")
    if url.authorization.mechanism:
        raise BadSyntax("the supplied URL has a token already")
    if not url.user:
        raise BadSyntax("missing owner username in supplied URL")
    if not same_user(url.user, session.username):
        raise BadSyntax("the supplied URL is one of another user")
    if not is_of_this_server(session.config, url):
        raise BadSyntax("the supplied URL is one of another server")
    return url


async def _authorized(session: Session, raw: bytes, url: MessageUrl) -> bytes:
    """Raises BadSyntax where there is no such mailbox, StoreError."""
    try:
        key = await patiently(partial(make_key, session.store, url.mailbox))
    except StoreError as error:
        if error.response_code in ("NONEXISTENT", "CANNOT"):
            raise BadSyntax(str(error)) from None
        raise
    return b"%b:%b:%b" % (raw, MECHANISM.lower().encode("ascii"), make_token(key.secret, raw).hex().encode("ascii"))


COMMAND = Command("GENURLAUTH", ANY_STATE, parse)
