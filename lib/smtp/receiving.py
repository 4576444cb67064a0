"""How a server session reads content: DATA (RFC 5321 section 4.1.1.4) and BDAT (RFC 3030).

The octets of a refused chunk are read all the same, because they are no commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.binary_content import BinaryDecoder
from pillarbox.lib.smtp.content import ChunkDecoder, DataDecoder
from pillarbox.lib.smtp.events import Content, Data, End, Overflow
from pillarbox.lib.smtp.lifetimes import Chunk, State
from pillarbox.lib.smtp.reply import Reply

if TYPE_CHECKING:
    from pillarbox.lib.smtp.server import ServerSession


def begin_data(session: ServerSession) -> None:
    """354 was said."""
    session.transaction.data = DataDecoder(session.profile.bare_newline)
    session.read = read_data


def read_data(session: ServerSession) -> bool:
    """A piece of DATA."""
    source = session.input
    if not source:
        return False
    decoder = session.transaction.data
    assert decoder is not None
    content = decoder.feed(source.rest())
    source.replace(decoder.rest)
    if content:
        _content(session, content)
    if decoder.done:
        session.read_commands()
        session.where = "END-OF-MESSAGE"
        _end(session, decoder.bare_newline, chunked=False)
    return True


def announce_chunk(session: ServerSession, chunk: Chunk) -> None:
    """A BDAT command was read: its octets follow, whatever becomes of it.  The first one of a message is asked for."""
    session.chunk = chunk
    if chunk.refusal is None and session.transaction.chunks is None:
        session.ask(Data(chunked=True))
    else:
        session.read = read_chunk


def begin_chunks(session: ServerSession, refusal: Reply | None) -> None:
    """The first chunk of a message may come, or is refused."""
    if refusal is not None:
        session.chunk.refusal = refusal
    else:
        transaction, bare_newline = session.transaction, session.profile.bare_newline
        transaction.state = State.CHUNKS
        transaction.chunks = BinaryDecoder(bare_newline) if transaction.binary else ChunkDecoder(bare_newline)
    session.read = read_chunk


def read_chunk(session: ServerSession) -> bool:
    """A piece of a chunk."""
    chunk = session.chunk
    if chunk.left:
        data = session.input.take(chunk.left)
        if not data:
            return False
        chunk.left -= len(data)
        if chunk.refusal is None:
            decoder = session.transaction.chunks
            assert decoder is not None
            content = decoder.feed(data)
            if content:
                _content(session, content)
    if not chunk.left:
        session.read_commands()
        session.chunk = Chunk()
        _end_chunk(session, chunk)
    return True


def _end_chunk(session: ServerSession, chunk: Chunk) -> None:
    transaction = session.transaction
    refusal = chunk.refusal or (replies.TOO_BIG if transaction.overflowed else None)
    if refusal is not None:
        refuse_content(session, refusal, last=chunk.last)
        return
    decoder = transaction.chunks
    assert decoder is not None
    if chunk.last:
        tail = decoder.finish()
        if tail:
            _content(session, tail)
        _end(session, decoder.bare_newline, chunked=True)
    else:
        if not chunk.size:
            session.count_junk()  # an empty chunk does no work
        session.reply(replies.chunk_taken(chunk.size))


def _content(session: ServerSession, content: bytes) -> None:
    transaction = session.transaction
    if transaction.overflowed:
        return
    transaction.content_size += len(content)
    if transaction.content_size > session.profile.size_limit > 0:
        transaction.overflowed = True
        session.events.append(Overflow())
    else:
        session.events.append(Content(content))


def _end(session: ServerSession, bare_newline: bool, *, chunked: bool) -> None:
    transaction, profile = session.transaction, session.profile
    if bare_newline and profile.bare_newline == "note":
        session.note("bare <LF> received in a message", "")
        bare_newline = False
    if transaction.overflowed or bare_newline:
        refusal = replies.bare_line_feed(profile.host, profile.bare_newline_code)
        refuse_content(session, replies.TOO_BIG if transaction.overflowed else refusal, last=True)
    else:
        session.ask(End(transaction.content_size, chunked))


def refuse_content(session: ServerSession, reply: Reply, *, last: bool) -> None:
    """End the transaction; LMTP clients wait for one reply per recipient after the last octet."""
    others = session.transaction.recipients - 1 if session.profile.lmtp and last else 0
    session.note("reject: END-OF-MESSAGE", str(reply))
    session.leave_transaction()
    if session.profile.soft_bounce:
        reply = replies.softened(reply)
    session.output += [reply.encode()] * others
    session.reply(reply)
