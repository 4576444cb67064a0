"""Parameters of accounts and authentication, read by auth, the session programs and `pillarbox user`."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, choice, integer, path, seconds, text, words

AUTH_DATABASE = path(
    "auth_database",
    "$data_directory/accounts.sqlite",
    "The SQLite database of the hosted accounts; made by the first pillarbox user add.",
)
AUTH_MECHANISMS = words(
    "auth_mechanisms",
    "scram-sha-256, plain, login",
    """The SASL mechanisms that are offered. scram-sha-256 works for hosted accounts only: where auth_system_users is in
    use it is left out unless this list is set.""",
)
AUTH_ALLOW_CLEARTEXT = boolean(
    "auth_allow_cleartext",
    "no",
    """Take passwords in clear text (mechanisms PLAIN and LOGIN, IMAP LOGIN, POP3 USER) without TLS from other machines
    too. Connections from this machine itself always may.""",
)
AUTH_DEFAULT_DOMAIN = text(
    "auth_default_domain",
    "",
    "The domain that completes a login name without one; empty: such a name is a system user or nobody.",
)
AUTH_SYSTEM_USERS = choice(
    "auth_system_users",
    "no",
    """Whether the system users of this machine may log in, and how their passwords are checked: by PAM or against
    /etc/shadow. Both need the service auth to run as root ("user: root" in master.yaml).""",
    ("no", "pam", "shadow"),
)
AUTH_PAM_SERVICE = text("auth_pam_service", "pillarbox", "The PAM service, a file in /etc/pam.d.")
AUTH_SYSTEM_MAIL = text(
    "auth_system_mail",
    "",
    """Where IMAP and POP3 find the mail of a system user: maildir:PATH or mbox:PATH, in which %u is the user name and
    %h the home directory. Empty: where local delivers it, as home_mailbox and mail_spool_directory say.""",
)
AUTH_FAILURE_DELAY = seconds(
    "auth_failure_delay",
    "2s",
    "How long the answer to a wrong password is held back; it doubles with each failure of an address, up to 15s.",
)
AUTH_CACHE_TTL = seconds(
    "auth_cache_ttl",
    "60s",
    """How long a password that was right is remembered (as a keyed digest, in memory), so that a client which logs in
    often costs no full check each time. A changed password counts at once. 0: not at all.""",
)
AUTH_THREADS = integer(
    "auth_threads", "2", "How many passwords are checked at once; each check takes 19 MiB.", minimum=1, maximum=64
)
