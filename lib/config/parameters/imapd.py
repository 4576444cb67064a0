"""Parameters of IMAP."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, integer, seconds, size, text, words

IMAP_MAX_LINE_LENGTH = size(
    "imap_max_line_length",
    "65536",
    """Octets of the longest command line that is taken, literals not counted. Some clients name very many messages in
    one command.""",
)
IMAP_SESSION_TIMEOUT = seconds(
    "imap_session_timeout",
    "30m",
    "How long a client that has logged in may say nothing; RFC 9051 section 5.4 demands at least 30 minutes.",
)
IMAP_IDLE_NOTIFY_INTERVAL = seconds(
    "imap_idle_notify_interval",
    "2m",
    "How often a client in IDLE is sent something, so that routers on the way do not forget the connection.",
)
IMAP_IDLE_CHECK_INTERVAL = seconds(
    "imap_idle_check_interval",
    "30s",
    """How often the mailbox of a client in IDLE is looked at where the system does not tell of changes (files on a
    network file system); normally it does, and the client is told at once.""",
)
IMAP_MAX_BAD_COMMANDS = integer(
    "imap_max_bad_commands",
    "20",
    "After how many wrong commands in a row a session is ended.",
    minimum=1,
    maximum=10000,
)
IMAP_APPEND_LIMIT = size(
    "imap_append_limit", "0", "The largest message in octets that a client may store with APPEND; 0: no limit."
)
IMAP_MESSAGE_LIMIT = integer(
    "imap_message_limit",
    "0",
    """On how many messages one FETCH, SEARCH, STORE, MOVE, UID EXPUNGE, COPY, APPEND, SORT or THREAD may work (RFC
    9738); 0: on any number, and nothing is announced. Programs that do not know of MESSAGELIMIT see the last so many
    messages of a large mailbox only; the RFC wants no less than 1000.""",
)
IMAP_SAVE_LIMIT = integer(
    "imap_save_limit",
    "0",
    """How many messages one COPY or APPEND may make (SAVELIMIT, RFC 9738); 0: any number. Where imap_message_limit is
    set, that counts.""",
)
IMAP_LITERAL_MINUS = boolean(
    "imap_literal_minus",
    "no",
    """Announce LITERAL- instead of LITERAL+ (RFC 7888): clients may send up to 4096 octets without being asked, larger
    messages only when the server is ready for them.""",
)
IMAP_SPECIAL_USE = words(
    "imap_special_use",
    "Drafts=Drafts, Sent=Sent, Trash=Trash, Junk=Junk, Archive=Archive",
    """Mailboxes that clients are told the purpose of (RFC 6154), each as NAME=PURPOSE; the purposes are All, Archive,
    Drafts, Flagged, Junk, Sent and Trash. A mailbox that does not exist is not shown, and where a client has given a
    purpose to a mailbox itself, that counts.""",
)
IMAP_URLAUTH_HOST = text(
    "imap_urlauth_host",
    "*",
    """The server's name in URLs that carry an authorization (URLAUTH, RFC 4467); "*": whatever the client calls it.
    Empty: no such URLs are made or taken, and URLAUTH is not announced.""",
)
IMAP_URLAUTH_SUBMIT_USER = words(
    "imap_urlauth_submit_user",
    "",
    """Login names of submission servers: their sessions, and no others, may fetch what the URLs name that people have
    authorized for sending (submit+USER).""",
)
FTS = boolean(
    "fts",
    "yes",
    """Keep full-text indexes beside the mailboxes, in the background, so that searches in bodies are quick.
    Without them every message is read. What is found is the same.""",
)
FTS_AUTOINDEX = boolean(
    "fts_autoindex",
    "no",
    """Index a mailbox as soon as it is selected. Otherwise the first search in bodies begins it; new mail is then
    indexed at once.""",
)
FTS_MESSAGE_MAX_SIZE = size(
    "fts_message_max_size",
    "1000000",
    """Characters of text in a message, attachments not counted, beyond which it is not indexed but read by every
    search.""",
)
FTS_MAX_SIZE = size(
    "fts_max_size",
    "1000000000",
    """Octets of the full-text index of one mailbox, about a sixth of its mail; 0: no limit. Beyond it the oldest
    messages are not indexed but read by every search.""",
)
