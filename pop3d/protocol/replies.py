"""Every reply of the POP3 server, named once.

A reply is at most 512 octets with its CRLF (RFC 2449 section 4).  Codes in brackets are those of RFC 2449 section 8.1,
RFC 3206 and RFC 6856 section 6.
"""

from __future__ import annotations


def _ok(text: str) -> bytes:
    return f"+OK {text}\r\n".encode()


def _err(text: str) -> bytes:
    return f"-ERR {text}\r\n".encode()


TERMINATOR = b".\r\n"


def greeting(mail_name: str, hostname: str) -> bytes:
    """The first line.  Without `<...>`: that would offer APOP, which needs the password in clear text on the server."""
    return _ok(f"{hostname} {mail_name} POP3 ready")


# --- any state
QUIT_UNAUTHENTICATED = _ok("Bye")
CAPABILITIES_FOLLOW = _ok("Capability list follows")
UNKNOWN_COMMAND = _err("Unknown command")
WRONG_STATE = _err("Command not available in this state")
BAD_ARGUMENTS = _err("Wrong arguments for this command")
LINE_TOO_LONG = _err("Line too long")
TOO_MANY_ERRORS = _err("Too many errors, closing connection")
IDLE_TOO_LONG = _err("Idle for too long, closing connection")
STOPPING = _err("[SYS/TEMP] Server is going down, try again later")

LANGUAGES_FOLLOW = _ok("Language listing follows")
LANGUAGE_CHANGED = _ok("en Language changed")
NO_LANGUAGE = _err("There is no such language here, English stays")

# --- AUTHORIZATION
USER_OK = _ok("Send the password")
NO_USER = _err("Send USER first")
APOP_REFUSED = _err("APOP is not supported")
BEGIN_TLS = _ok("Begin TLS negotiation now")
TLS_UNAVAILABLE = _err("TLS is not available")
TLS_ACTIVE = _err("TLS is active already")
UTF8_OK = _ok("UTF8 enabled")
MECHANISMS_FOLLOW = _ok("List of mechanisms follows")
NO_MECHANISM = _err("Mechanism not available")
CLEAR_TEXT_REFUSED = _err("[AUTH] Passwords are not taken without TLS, use STLS first")
AUTHENTICATION_FAILED = _err("[AUTH] Authentication failed")
ACCOUNT_DISABLED = _err("[AUTH] Account may not log in")
AUTHENTICATION_UNAVAILABLE = _err("[SYS/TEMP] Temporary authentication failure, try again later")
LOGIN_DELAYED = _err("[LOGIN-DELAY] The last login was just now, try again later")
LOCKED_OUT = _err("[SYS/TEMP] Too many failed logins, try again later")
AUTHENTICATION_ABORTED = _err("Authentication aborted")
BAD_RESPONSE = _err("[AUTH] Malformed authentication response")
LOGGED_IN = _ok("Logged in")

# --- opening the maildrop
MAILDROP_IN_USE = _err("[IN-USE] Mailbox is in use by another POP3 session")
MAILDROP_UNAVAILABLE = _err("[SYS/TEMP] Mailbox is not available, try again later")
SESSION_UNAVAILABLE = _err("[SYS/TEMP] Mail access is not available, try again later")

# --- TRANSACTION and UPDATE
NOOP = _ok("Nothing done")
DELETED = _ok("Message marked for deletion")
NO_MESSAGE = _err("There is no such message")
IS_DELETED = _err("Message is deleted")
MESSAGE_GONE = _err("[SYS/TEMP] Message is gone")
UPDATED = _ok("Bye")
UPDATED_WITH_DELETIONS = _ok("Bye, messages deleted")
NOT_DELETED = _err("[SYS/TEMP] Some deleted messages were not removed")


def status(count: int, size: int) -> bytes:
    """STAT: a drop listing (RFC 1939 section 5)."""
    return b"+OK %d %d\r\n" % (count, size)


def listing_follows(count: int, size: int) -> bytes:
    """LIST without argument."""
    return _ok(f"{count} messages ({size} octets)")


def scan_listing(number: int, size: int) -> bytes:
    """LIST with a message number."""
    return b"+OK %d %d\r\n" % (number, size)


def identifier(number: int, uidl: str) -> bytes:
    """UIDL with a message number."""
    return _ok(f"{number} {uidl}")


def message_follows(size: int) -> bytes:
    """RETR."""
    return _ok(f"{size} octets")


IDENTIFIERS_FOLLOW = _ok("Unique-ids follow")
TOP_FOLLOWS = _ok("Top of message follows")


def reset(count: int, size: int) -> bytes:
    """RSET."""
    return _ok(f"Maildrop has {count} messages ({size} octets)")


def challenge(data: bytes) -> bytes:
    """A SASL challenge, `data` in base64 (RFC 5034 section 4)."""
    return b"+ " + data + b"\r\n"


def listing(first: bytes, lines: list[str]) -> bytes:
    """A short multi-line reply."""
    return first + "".join(f"{line}\r\n" for line in lines).encode() + TERMINATOR
