"""Parameters that every program shares: who we are, where things lie, who runs what, the common limits."""

from __future__ import annotations

import socket

from pillarbox.lib.config.parameter import boolean, choice, integer, networks, path, seconds, size, text, words


def _hostname() -> str:
    name = socket.gethostname()
    return name if "." in name else f"{name}.localdomain"


def _domain() -> str:
    return _hostname().partition(".")[2]


# --- who we are
MAIL_NAME = text("mail_name", "Pillarbox", "The name of the mail system in greetings and Received: headers.")
MYHOSTNAME = text("myhostname", _hostname, "The fully-qualified host name of this mail system.")
MYDOMAIN = text("mydomain", _domain, "The domain of this mail system; by default $myhostname without its first label.")
MYORIGIN = text("myorigin", "$myhostname", "The domain that is appended to addresses without one.")
MYDESTINATION = words(
    "mydestination",
    "$myhostname, localhost.$mydomain, localhost",
    "The domains whose mail is delivered to the system users of this machine.",
)
MYNETWORKS = networks(
    "mynetworks",
    "127.0.0.0/8, [::1]/128",
    "Networks of trusted clients, which may relay without authentication.",
)
INET_INTERFACES = words(
    "inet_interfaces",
    "all",
    "The addresses on which mail is received: all, loopback-only, or a list of addresses.",
)
INET_PROTOCOLS = choice("inet_protocols", "all", "Internet protocols to use.", ("all", "ipv4", "ipv6"))
BASE_PORT = integer(
    "base_port",
    "0",
    """Added to every standard port number: with 10000, SMTP listens on 10025. 0 on a production system; higher
    where an ordinary user runs the suite, or several instances share a machine.""",
    maximum=60000,
)
RECIPIENT_DELIMITER = text(
    "recipient_delimiter",
    "",
    "The set of characters of which the first one found separates a user name from its extension (user+folder).",
)
SERVICE_NAME = text("service_name", "", "The name of the service in master.yaml that a process serves; set by master.")

# --- where things lie
CONFIG_DIRECTORY = path("config_directory", "/etc/pillarbox", "The directory of main.yaml and master.yaml.")
INSTANCE_DIRECTORY = path(
    "instance_directory",
    "/var/lib/pillarbox",
    "The directory under which everything that this instance owns lies; the parent of config_directory.",
)
QUEUE_DIRECTORY = path("queue_directory", "$instance_directory/spool", "The mail queue; one file system.")
MAIL_DIRECTORY = path("mail_directory", "$instance_directory/mail", "The hosted mailboxes, DOMAIN/LOCALPART/.")
DATA_DIRECTORY = path("data_directory", "$instance_directory/state", "Accounts, caches and locks.")
STATE_DIRECTORY = DATA_DIRECTORY
RUN_DIRECTORY = path("run_directory", "$instance_directory/run", "The directory of master.pid.")

# --- who runs what
MAIL_OWNER = text("mail_owner", "pillarbox", "The user (name or number) that owns the queue.")
NET_OWNER = text("net_owner", "pillarbox-net", "The user of the programs that speak to the network; owns no file.")
LOOKUP_OWNER = text("lookup_owner", "pillarbox-lookup", "The user that reads look-up tables.")
AUTH_OWNER = text("auth_owner", "pillarbox-auth", "The user that owns the account database.")
VMAIL_OWNER = text("vmail_owner", "vmail", "The user that owns the hosted mailboxes.")
DEFAULT_PRIVS = text("default_privs", "nobody", "The user for commands and files of root-owned alias tables.")

# --- logging
SYSLOG_NAME = text("syslog_name", "pillarbox", "The first part of the program name in log lines.")
MAILLOG_FILE = path(
    "maillog_file",
    "$instance_directory/log/mail.log",
    "Where log lines go: a file, /dev/stdout, or the word syslog.",
)
LOG_FORMAT = choice("log_format", "text", "Log lines as text in Postfix's form, or as JSON objects.", ("text", "json"))
DELAY_LOGGING_RESOLUTION_LIMIT = integer(
    "delay_logging_resolution_limit", "2", "Digits after the decimal point in logged delays.", maximum=6
)

# --- limits that several programs keep
MESSAGE_SIZE_LIMIT = size("message_size_limit", "10240000", "The largest message, in bytes, envelope included; 0: any.")
LINE_LENGTH_LIMIT = size("line_length_limit", "2048", "The longest line that is looked at as one piece.")
HEADER_SIZE_LIMIT = size("header_size_limit", "102400", "The largest header field that is looked at, in bytes.")
IPC_TIMEOUT = seconds("ipc_timeout", "3600s", "How long one program waits for another.")
MAX_IDLE = seconds("max_idle", "100s", "How long a process beyond the warm ones of its service waits for work.")
DAEMON_TIMEOUT = seconds(
    "daemon_timeout",
    "300s",
    "A process that has not come round in its main loop for so long is ended by its watchdog.",
)
DRAIN_TIMEOUT = seconds(
    "drain_timeout", "30s", "How long stop and reload wait for running sessions before they are broken off."
)
RETIRE_TIMEOUT = seconds(
    "retire_timeout",
    "1d",
    """How long the processes that a reload or a new certificate has replaced may go on with the sessions of their
    clients; then these are told that the service stops, as at stop.""",
)
SERVICE_THROTTLE_TIME = seconds(
    "service_throttle_time",
    "60s",
    "The longest pause before a service whose processes keep dying is started again; the first pause is 1 second.",
)
SMTPUTF8_ENABLE = boolean("smtputf8_enable", "yes", "Announce and accept SMTPUTF8 (RFC 6531).")
SOFT_BOUNCE = boolean("soft_bounce", "no", "Answer and treat permanent errors as temporary; for testing a new set-up.")
