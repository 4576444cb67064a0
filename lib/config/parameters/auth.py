"""Parameters of accounts and authentication, read by auth, the session programs and `pillarbox user`."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, choice, integer, networks, path, seconds, text, words

AUTH_DATABASE = path(
    "auth_database",
    "$data_directory/accounts.sqlite",
    "The SQLite database of the hosted accounts; made by the first pillarbox user add.",
)
AUTH_MECHANISMS = words(
    "auth_mechanisms",
    "scram-sha-256, external, oauthbearer, xoauth2, plain, login",
    """The SASL mechanisms that are offered, each where it can work: external to clients that have shown a certificate,
    oauthbearer and xoauth2 where oauth_introspection_url is set. scram-sha-256-plus can be put in front: under TLS it
    proves besides that nobody sits in the middle; it is left out because mutt 2.2 (Debian 12) cannot do it under TLS
    1.3 and tries nothing else. The scram ones work for hosted accounts only: where auth_system_users is in use they are
    left out unless this list is set.""",
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
    """Where IMAP and POP3 find the mail of a system user: maildir:PATH, mbox:PATH or sqlite:PATH, in which %u is the
    user name and %h the home directory. Empty: where local delivers it, as home_mailbox and mail_spool_directory say.
    Into a database local delivers by this parameter; commands as procmail still deliver into files.""",
)
AUTH_FAILURE_DELAY = seconds(
    "auth_failure_delay",
    "2s",
    "How long the answer to a wrong password is held back; it doubles with each failure of an address, up to 15s.",
)
AUTH_LOCKOUT_ADDRESS_FAILURES = integer(
    "auth_lockout_address_failures",
    "20",
    """After how many failed logins a client address (an IPv6 /64) is locked out: nothing is checked for it for
    auth_lockout_time. The same wrong password again does not count. 0: never.""",
)
AUTH_LOCKOUT_ACCOUNT_FAILURES = integer(
    "auth_lockout_account_failures",
    "50",
    """After how many failed logins, from wherever, an account is locked for addresses that it has never logged in from.
    From where its owner has logged in before, it stays open. 0: never.""",
)
AUTH_LOCKOUT_TIME = seconds(
    "auth_lockout_time", "60s", "How long the first lock-out lasts; each further one is twice as long."
)
AUTH_LOCKOUT_MAX_TIME = seconds("auth_lockout_max_time", "1h", "How long a lock-out may become.")
AUTH_LOCKOUT_WINDOW = seconds(
    "auth_lockout_window", "1h", "Failed logins with more time than this between them do not add up to a lock-out."
)
AUTH_LOCKOUT_EXCEPTIONS = networks(
    "auth_lockout_exceptions",
    "127.0.0.0/8, [::1]/128",
    """Client addresses and networks that are not locked out as such, because many users come from them: a webmail
    server. Accounts are locked for them like for others.""",
)
AUTH_CERTIFICATE_MAILBOXES = boolean(
    "auth_certificate_mailboxes",
    "no",
    """Let a client certificate of a trusted authority (smtpd_tls_CAfile) log in as the account whose address it names,
    by the mechanism EXTERNAL. Certificates whose fingerprint an account has (pillarbox certificate add) always may.""",
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
