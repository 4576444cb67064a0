"""What the server side reports to its driver.

Events with a `verb` want an answer (`ServerSession.answer`) before the next one comes; the others are for information.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(slots=True)
class Hello:
    """HELO, EHLO or LHLO with a name (unchecked, printable).  Answer with `answer_hello`."""

    verb: str
    name: str


@dataclass(slots=True)
class Mail:
    """MAIL FROM.  `sender` "" is the null reverse-path; values not given are "" or 0.

    `size` is the client's estimate in bytes; `body` is 7bit, 8bitmime, binarymime or ""; `ret` full, hdrs or "";
    `envid` and `auth` are decoded xtext (`auth` None: not given, "": the client does not know, RFC 4954 section 5).
    `by` are seconds from now, with `by_mode` R, N, RT or NT ("": no BY was given; RFC 2852).  `hold_for` are seconds
    from now, `hold_until` seconds since the epoch, at most one of them given (RFC 4865).  `verp` are the delimiters
    of XVERP, "" for the usual ones (None: not asked for).  `parameters` are as the client wrote them.
    """

    sender: str
    size: int = 0
    body: str = ""
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False
    auth: str | None = None
    requiretls: bool = False
    by: int = 0
    by_mode: str = ""
    hold_for: int = 0
    hold_until: float = 0
    verp: str | None = None
    parameters: str = field(default="", repr=False, compare=False)


@dataclass(slots=True)
class Rcpt:
    """RCPT TO.  `notify` in lower case, `orcpt` as "type;address" with xtext decoded (RFC 3461); `parameters` as the
    client wrote them."""

    recipient: str
    notify: tuple[str, ...] = ()
    orcpt: str = ""
    parameters: str = field(default="", repr=False, compare=False)

    @property
    def domain(self) -> str:
        """What RCPTDOMAINMAX counts (RFC 9422 section 4.3); "" for a local part alone."""
        return self.recipient.rpartition("@")[2].lower() if "@" in self.recipient else ""


@dataclass(slots=True)
class Data:
    """Content is about to come.  Answer 354 (DATA; not sent where `chunked`) or a refusal."""

    chunked: bool


@dataclass(slots=True)
class Content:
    """A piece of the content, lines ending in LF.  No answer."""

    data: bytes


@dataclass(slots=True)
class Overflow:
    """The content has just become larger than allowed; no more `Content` comes, the rest is read and dropped.

    No answer: the client gets 552 at the end, and `Reset` follows then.
    """


@dataclass(slots=True)
class End:
    """The content is complete, `size` bytes.  Answer with `answer`, or `answer_recipients` for LMTP."""

    size: int
    chunked: bool


@dataclass(slots=True)
class Reset:
    """The transaction that was open is over without a message.  No answer."""


@dataclass(slots=True)
class StartTls:
    """The client wants TLS.  Answer 220 and do the handshake, then call `tls_started`; or refuse."""


@dataclass(slots=True)
class Auth:
    """AUTH; `initial` None where no initial response was given.  Answer 334, 235 or a refusal."""

    mechanism: str
    initial: bytes | None


@dataclass(slots=True)
class AuthResponse:
    """The answer to a challenge.  Answer 334, 235 or a refusal."""

    data: bytes


@dataclass(slots=True)
class AuthEnded:
    """The exchange was given up by the client or broken by bad input; the reply has been given.  No answer."""

    reason: str


@dataclass(slots=True)
class Verify:
    """VRFY; answer it."""

    argument: str


@dataclass(slots=True)
class Expand:
    """EXPN from a client that may use it; answer it."""

    argument: str


@dataclass(slots=True)
class Etrn:
    """ETRN (RFC 1985) for a domain or address literal; answer it."""

    domain: str


@dataclass(slots=True)
class XClient:
    """XCLIENT from a client that may use it; answer 220 with a greeting, as a new session begins, or a refusal.

    `attributes` has values decoded and checked, by upper-case names; `UNAVAILABLE` and `TEMPORARY` of
    `client_attributes` stand for what the other side does not know.
    """

    attributes: dict[str, str]


@dataclass(slots=True)
class Unknown:
    """A command that does not exist, whole; only where the profile says `asks_unknown`.  Answer with a refusal."""

    line: str


@dataclass(slots=True)
class Note:
    """Something for the log, for example improper pipelining; `text` may hold what the client sent.  No answer."""

    kind: str
    text: str


@dataclass(slots=True)
class Close:
    """Write what there is to write and close the connection.  `reason` is "" after QUIT, else for the log."""

    reason: str


Event: TypeAlias = (
    Hello
    | Mail
    | Rcpt
    | Data
    | Content
    | Overflow
    | End
    | Reset
    | StartTls
    | Auth
    | AuthResponse
    | AuthEnded
    | Verify
    | Expand
    | Etrn
    | XClient
    | Unknown
    | Note
    | Close
)
