"""Which foreign programs the tests talk to, and the Debian packages that bring them.

A package's own dependencies are found by apt; what is named besides the main package here is only a
"Recommends" that the tests need (swaks without TLS and AUTH would prove little).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One peer: its packages, and a command that shows that its binary runs (exit status and a word of the output)."""

    name: str
    packages: tuple[str, ...]
    proof: tuple[str, ...]
    says: str
    # Packages whose absence from the archive must not fail the installation of the others.
    best_effort: bool = False
    # So large that it is unpacked only when it is asked for by name, and not with all the others.
    by_name_only: bool = False
    # Packages (shell patterns) that others depend on for parts which the tests do not use, and which are large.
    without: tuple[str, ...] = ()
    # Users (with a group of the same name) that the package would create and its programs insist on.
    accounts: tuple[str, ...] = ()


PEERS: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("postfix", ("postfix",), ("postconf", "-d", "-h", "mail_version"), "3."),
        Entry(
            "postfix-tables",
            ("postfix", "postfix-cdb", "postfix-pcre", "postfix-lmdb", "postfix-sqlite"),
            ("postconf", "-d", "-h", "mail_version"),
            "3.",
        ),
        Entry(
            "postfix-databases",
            ("postfix", "postfix-ldap", "postfix-mysql", "postfix-pgsql"),
            ("postconf", "-d", "-h", "mail_version"),
            "3.",
        ),
        Entry(
            "postgresql",
            ("postgresql",),
            ("postgres", "--version"),
            "PostgreSQL",
            without=("libllvm*", "perl*", "libperl*"),
        ),
        Entry("mariadb", ("mariadb-server-core",), ("mariadbd", "--version"), "MariaDB"),
        Entry("openldap", ("slapd",), ("slapd", "-VV"), "OpenLDAP", without=("perl*", "libperl*")),
        Entry(
            "dovecot",
            ("dovecot-core", "dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd"),
            ("dovecot", "--version"),
            "2.",
        ),
        Entry("pigeonhole", ("dovecot-core", "dovecot-sieve"), ("sieve-test", "-c", "/dev/null"), "Usage:"),
        Entry(
            "dovecot-managesieved",
            (
                "dovecot-core",
                "dovecot-imapd",
                "dovecot-pop3d",
                "dovecot-lmtpd",
                "dovecot-sieve",
                "dovecot-managesieved",
            ),
            ("dovecot", "--version"),
            "2.",
        ),
        Entry(
            "sieve-connect", ("sieve-connect", "libnet-ssleay-perl"), ("sieve-connect", "--version"), "sieve-connect"
        ),
        Entry("redis", ("redis-server",), ("redis-server", "--version"), "Redis server"),
        Entry("memcached", ("memcached",), ("memcached", "--version"), "memcached", without=("perl*", "libperl*")),
        Entry("mutt", ("mutt",), ("mutt", "-v"), "Mutt"),
        Entry("neomutt", ("neomutt",), ("neomutt", "-v"), "NeoMutt"),
        Entry("offlineimap", ("offlineimap3",), ("offlineimap", "--version"), "8."),
        Entry("getmail", ("getmail6",), ("getmail", "--version"), "6."),
        Entry("mpop", ("mpop",), ("mpop", "--version"), "mpop"),
        Entry("imapfilter", ("imapfilter",), ("imapfilter", "-V"), "IMAPFilter"),
        Entry("aerc", ("aerc",), ("aerc", "-v"), "aerc 0."),
        Entry("alpine", ("alpine",), ("alpine", "-v"), "Alpine"),
        Entry(
            "thunderbird", ("thunderbird",), ("thunderbird-bin", "--version"), "Thunderbird", by_name_only=True
        ),  # 345 MB, as much as a third of all others
        Entry("isync", ("isync",), ("mbsync", "--version"), "isync"),
        Entry("fetchmail", ("fetchmail",), ("fetchmail", "--version"), "fetchmail"),
        Entry("msmtp", ("msmtp",), ("msmtp", "--version"), "msmtp"),
        Entry(
            "swaks",
            ("swaks", "libnet-ssleay-perl", "libauthen-sasl-perl", "libnet-dns-perl"),
            ("swaks", "--support"),
            "TLS supported",
        ),
        Entry("gsasl", ("gsasl",), ("gsasl", "--version"), "gsasl"),
        Entry("s-nail", ("s-nail",), ("s-nail", "--version"), "s-nail"),
        Entry("curl", ("curl",), ("curl", "--version"), "smtps"),
        Entry("postgrey", ("postgrey",), ("postgrey", "--version"), "postgrey"),
        Entry(
            "policyd-spf",
            ("postfix-policyd-spf-python",),
            ("policyd-spf", "--help"),
            "usage: policyd-spf",
        ),
        Entry(
            "flufl-bounce",
            ("python3-flufl.bounce",),
            ("/usr/bin/python3", "-c", "import flufl.bounce as it; print('bounces', it.scan_message.__name__)"),
            "bounces scan_message",
        ),
        Entry("pflogsumm", ("pflogsumm",), ("pflogsumm", "--version"), "pflogsumm"),
        Entry("fail2ban", ("fail2ban",), ("fail2ban-regex", "--version"), "fail2ban"),
        Entry("procmail", ("procmail",), ("procmail", "-v"), "procmail v3"),
        Entry(
            "exim",
            ("exim4-daemon-light", "libnss-wrapper"),
            ("exim4", "-C", "/dev/null", "-bV"),
            "Exim version",
            accounts=("Debian-exim",),
        ),
        Entry("openssl", ("openssl",), ("openssl", "version"), "OpenSSL 3"),
        Entry("chasquid", ("chasquid",), ("chasquid", "-version"), "chasquid"),
        Entry("unbound", ("unbound",), ("unbound", "-V"), "Version 1."),
        Entry("maildrop", ("maildrop",), ("maildrop", "-v"), "maildrop"),
        Entry("nftables", ("nftables",), ("nft", "--version"), "nftables"),
        Entry("haproxy", ("haproxy",), ("haproxy", "-v"), "HAProxy version"),
        Entry("opendkim", ("opendkim", "opendkim-tools"), ("opendkim", "-V"), "OpenDKIM"),
        Entry("opendmarc", ("opendmarc",), ("opendmarc", "-V"), "OpenDMARC"),
        Entry("clamav", ("clamav-daemon", "clamav-milter"), ("clamav-milter", "--version"), "clamav-milter"),
        Entry("rspamd", ("rspamd",), ("rspamd", "--version"), "Rspamd"),
        Entry(
            "swift",  # a server that speaks S3
            ("python3-swift",),
            ("/usr/bin/python3", "-c", "import swift.common.middleware.s3api.s3api as it; print(it.__name__)"),
            "swift.common.middleware.s3api",
            without=("ieee-data", "python3-docutils", "docutils-common", "perl*", "libperl*"),
        ),
        Entry(
            "opensmtpd",
            ("opensmtpd",),
            ("smtpd", "-h"),
            "OpenSMTPD",
            best_effort=True,
            accounts=("opensmtpd", "opensmtpq"),
        ),
    )
}

USUAL = [name for name, entry in PEERS.items() if not entry.by_name_only]
"""What is unpacked where nothing else is said."""
