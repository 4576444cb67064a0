"""Parameters of the delivery agent for system users."""

from __future__ import annotations

from pillarbox.lib.config.parameter import (
    boolean,
    integer,
    path,
    seconds,
    secret_tables,
    size,
    tables,
    template,
    text,
    words,
)

_SAFE = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

MAIL_SPOOL_DIRECTORY = path(
    "mail_spool_directory",
    "/var/mail",
    """Where system users' mailboxes are kept: a file per user, or with a "/" at the end a Maildir per user. Used where
    neither mailbox_command nor home_mailbox is set.""",
)
HOME_MAILBOX = text(
    "home_mailbox",
    "",
    """A user's mailbox relative to the home directory, instead of mail_spool_directory: "Maildir/" (a Maildir) or
    "Mailbox" (an mbox file).""",
)
MAILBOX_COMMAND = template(
    "mailbox_command",
    "",
    """A command that takes a user's mail instead of a mailbox, run as that user, as "/usr/bin/procmail -a
    "$EXTENSION"". The message is on its standard input.""",
)
MAILBOX_COMMAND_MAPS = secret_tables(
    "mailbox_command_maps",
    "",
    """Tables by user name of commands that take the user's mail, before mailbox_command. Files only: what another
    process answers does not choose what runs as a user.""",
)
MAILBOX_TRANSPORT = template(
    "mailbox_transport",
    "",
    """transport:nexthop that gets the mail of all users of the system in place of their mailboxes, behind aliases and
    forward files, as "lmtp:unix:/run/dovecot/lmtp". Needs local_recipient_maps to know users that are not of the
    system.""",
)
MAILBOX_TRANSPORT_MAPS = tables(
    "mailbox_transport_maps", "", "Tables by user name of transport:nexthop, before mailbox_transport."
)
FALLBACK_TRANSPORT = template(
    "fallback_transport",
    "",
    """transport:nexthop that gets the mail for names that are neither aliases nor users. Needs local_recipient_maps to
    be empty, or such mail is refused before it comes here.""",
)
FALLBACK_TRANSPORT_MAPS = tables(
    "fallback_transport_maps", "", "Tables by user name of transport:nexthop, before fallback_transport."
)
FORWARD_PATH = template(
    "forward_path",
    "$home/.forward${recipient_delimiter}${extension}, $home/.forward",
    """Where a user's forward file is looked for, in this order. $home, $user, $shell, $recipient, $local, $domain,
    $recipient_delimiter and $extension stand for those of the recipient. Empty: users forward nothing.""",
)
FORWARD_EXPANSION_FILTER = text(
    "forward_expansion_filter",
    _SAFE,
    'The characters that parts of an address may bring into forward_path; all others become "_".',
)
LUSER_RELAY = template(
    "luser_relay",
    "",
    """An address that gets the mail for unknown local users, in place of a bounce; $local, $user, $extension,
    $recipient_delimiter, $recipient and $domain are replaced. Needs local_recipient_maps to be empty, or such mail is
    refused before it comes here.""",
)
ALLOW_MAIL_TO_COMMANDS = words(
    "allow_mail_to_commands", "alias, forward", "Where |command targets are allowed: alias, forward, include."
)
ALLOW_MAIL_TO_FILES = words(
    "allow_mail_to_files", "alias, forward", "Where /file targets are allowed: alias, forward, include."
)
EXPAND_OWNER_ALIAS = boolean(
    "expand_owner_alias",
    "no",
    """What becomes the sender of mail to an alias NAME for which owner-NAME exists: no: owner-NAME, yes: the address
    that owner-NAME stands for.""",
)
COMMAND_TIME_LIMIT = seconds("command_time_limit", "1000s", "How long a command may take for one message.")
COMMAND_EXECUTION_DIRECTORY = template(
    "command_execution_directory",
    "",
    """The directory in which commands run, with the macros of forward_path; empty: the user's home. If it cannot be
    entered, /.""",
)
EXECUTION_DIRECTORY_EXPANSION_FILTER = text(
    "execution_directory_expansion_filter",
    _SAFE,
    'The characters that parts of an address may bring into command_execution_directory; all others become "_".',
)
COMMAND_EXPANSION_FILTER = text(
    "command_expansion_filter",
    _SAFE,
    'The characters that a command\'s environment may hold; all others become "_".',
)
LOCAL_COMMAND_SHELL = text(
    "local_command_shell", "", "A shell that runs every command; empty: /bin/sh for those with shell characters."
)
EXPORT_ENVIRONMENT = words(
    "export_environment", "TZ MAIL_CONFIG LANG", "Variables of the suite's environment that commands get; NAME=value."
)
MAILBOX_SIZE_LIMIT = size(
    "mailbox_size_limit",
    "51200000",
    """The largest file that local delivery writes to, in bytes, also by a command that it runs; 0: no limit.""",
)
MAILBOX_DELIVERY_LOCK = words(
    "mailbox_delivery_lock", "fcntl, dotlock", "How mbox files are locked; fcntl is always used."
)
STRICT_MAILBOX_OWNERSHIP = boolean(
    "strict_mailbox_ownership", "yes", "Defer delivery where the mailbox file does not belong to its user."
)
DELIVER_LOCK_ATTEMPTS = integer("deliver_lock_attempts", "20", "How often a mailbox lock is tried.", minimum=1)
DELIVER_LOCK_DELAY = seconds("deliver_lock_delay", "1s", "The pause between two attempts to lock a mailbox.")
STALE_LOCK_TIME = seconds("stale_lock_time", "500s", "The age at which a mailbox lock file counts as forgotten.")
DUPLICATE_FILTER_LIMIT = integer(
    "duplicate_filter_limit", "1000", "How many targets of one recipient are remembered to skip repeated ones."
)
LOCAL_CONCURRENCY_LIMIT = integer(
    "local_concurrency_limit",
    "200",
    """How many messages one local process takes on at once.  Those for one user go to the user's process, one after the
    other, or, into a Maildir, several for the price of one.""",
    minimum=1,
    maximum=1000,
)
