"""The stages of a conversation as the client sees them, with the words that logs use and the time that each may take.

The words are Postfix's, because people and log parsers know them.  The times are those of RFC 5321 section 4.5.3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class StageText:
    """`doing` completes "lost connection with X while ..."; `command` completes "(in reply to ... command)"."""

    doing: str
    command: str
    timeout: float


class Stage(Enum):
    """What the client waits for an answer to; times in seconds."""

    GREETING = StageText("receiving the initial server greeting", "greeting", 300.0)
    EHLO = StageText("performing the EHLO handshake", "EHLO command", 300.0)
    HELO = StageText("performing the HELO handshake", "HELO command", 300.0)
    LHLO = StageText("performing the LHLO handshake", "LHLO command", 300.0)
    STARTTLS = StageText("performing the EHLO handshake", "STARTTLS command", 300.0)
    AUTH = StageText("performing SASL authentication", "AUTH command", 300.0)
    XFORWARD = StageText("sending XFORWARD attributes", "XFORWARD command", 300.0)
    MAIL = StageText("sending MAIL FROM", "MAIL FROM command", 300.0)
    RCPT = StageText("sending RCPT TO", "RCPT TO command", 300.0)
    DATA = StageText("sending DATA command", "DATA command", 120.0)
    BODY = StageText("sending message body", "message body", 180.0)
    END_OF_DATA = StageText("sending end of data -- message may be sent more than once", "end of DATA command", 600.0)
    RSET = StageText("sending RSET probe", "RSET probe", 20.0)
    QUIT = StageText("sending QUIT", "QUIT command", 300.0)

    __hash__ = object.__hash__  # members are single; the inherited one is Python code on the hot path

    @property
    def doing(self) -> str:
        """Completes "lost connection with X while ..."."""
        return self.value.doing

    @property
    def command(self) -> str:
        """Completes "(in reply to ...)"."""
        return self.value.command


Timeouts = Mapping[Stage, float]
"""Seconds for each stage."""

DEFAULT_TIMEOUTS: Timeouts = {stage: stage.value.timeout for stage in Stage}
