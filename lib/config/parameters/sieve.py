"""Parameters of Sieve filters in delivery; where Dovecot's Pigeonhole has such a setting, it has its name."""

from __future__ import annotations

import re

from pillarbox.lib.address import AddressSyntaxError, parse_mailbox
from pillarbox.lib.config.parameter import (
    Parameter,
    Raw,
    boolean,
    choice,
    declare,
    integer,
    joined,
    path,
    seconds,
    size,
    template,
    words,
)


def _score_header(name: str, doc: str) -> Parameter[str]:
    """NAME, or NAME: EXPRESSION, of a header field."""

    def parse(raw: Raw) -> str:
        value = joined(raw)
        try:
            re.compile(value.partition(":")[2].strip())
        except re.error as error:
            raise ValueError(f"behind the name of a header field an expression was expected: {error}") from None
        return value

    return declare(name, "", doc, "header field", parse, at_use=True)


def _redirect_sender(raw: Raw) -> str:
    value = joined(raw)
    if value in ("sender", "recipient", "orig_recipient"):
        return value
    if not (value.startswith("<") and value.endswith(">")):
        raise ValueError("sender, recipient, orig_recipient or <user@domain> was expected")
    try:
        parse_mailbox(value[1:-1])
    except AddressSyntaxError as error:
        raise ValueError(f"an address was expected between < and >: {error}") from None
    return value


SIEVE = template(
    "sieve",
    "$home/.dovecot.sieve",
    """A user's active Sieve script, often a symbolic link into sieve_dir; without the file mail is not filtered. $home
    is the home directory, for hosted mailboxes the mailbox; $user and $domain are those of the recipient. Empty: nobody
    has a script.""",
)
SIEVE_DIR = template(
    "sieve_dir", "$home/sieve", "Where a user's other scripts are, as NAME.sieve: what include :personal finds."
)
SIEVE_GLOBAL = path("sieve_global", "", "The directory of scripts that include :global finds, as NAME.sieve.")
SIEVE_BEFORE = words(
    "sieve_before",
    "",
    """Scripts that run before the user's, in this order. What a script does not keep (discard, fileinto without :copy)
    the next ones do not see.""",
)
SIEVE_AFTER = words("sieve_after", "", "Scripts that run after the user's, as those of sieve_before do.")
SIEVE_DEFAULT = path("sieve_default", "", "The script that runs for users who have none.")
SIEVE_REMEMBERED = template(
    "sieve_remembered",
    "$home/.sieve-remembered",
    """The file in which a user's filter remembers whom it has answered, which messages it has seen, and when it has
    told of an error. It may be deleted at any time.""",
)


def _extensions(raw: Raw) -> tuple[str, ...]:
    """Names; whether they exist is said where they are used."""
    names = tuple(joined(raw).replace(",", " ").split())
    if names and len({name[0] in "+-" for name in names}) > 1:
        raise ValueError("names, or names that all have + or - before them, were expected")
    return names


SIEVE_EXTENSIONS: Parameter[tuple[str, ...]] = declare(
    "sieve_extensions",
    "",
    """The extensions of the language that scripts may use, by name; or what is different from all of them: -NAME
    (-enotify) is off, +NAME on. Empty: all. The scripts of the site keep to it too.""",
    "list of names",
    _extensions,
)
SIEVE_MAX_SCRIPT_SIZE = size("sieve_max_script_size", "1048576", "The largest script in bytes; 0: no limit.")
SIEVE_QUOTA_MAX_SCRIPTS = integer(
    "sieve_quota_max_scripts", "100", "The most scripts that a user may store by ManageSieve; 0: no limit."
)
SIEVE_QUOTA_MAX_STORAGE = size(
    "sieve_quota_max_storage",
    "10485760",
    "The most bytes that a user's scripts may have together, as ManageSieve stores them; 0: no limit.",
)
SIEVE_MAX_CPU_TIME = seconds(
    "sieve_max_cpu_time", "5s", "Processor time that the scripts may take for one message; 0: no limit."
)
SIEVE_RESOURCE_USAGE_TIMEOUT = seconds(
    "sieve_resource_usage_timeout",
    "10m",
    """For how long the processor time of slow runs of a user's script is added up. Once it comes to sieve_max_cpu_time
    the script is not run, and mail goes to INBOX, until for so long no time was added; 0: it is never added up.""",
)
SIEVE_MAX_ACTIONS = integer("sieve_max_actions", "32", "The most actions of the scripts for one message.", minimum=1)
SIEVE_MAX_REDIRECTS = integer(
    "sieve_max_redirects", "4", "The most addresses that scripts may redirect one message to; 0: redirect is refused."
)
SIEVE_REDIRECT_ENVELOPE_FROM = declare(
    "sieve_redirect_envelope_from",
    "sender",
    """The envelope sender of redirected mail: sender (that of the message), recipient, orig_recipient, or an address
    <user@domain>. Mail with the null sender keeps it.""",
    "word or <address>",
    _redirect_sender,
)
SIEVE_VACATION_MIN_PERIOD = seconds(
    "sieve_vacation_min_period", "1d", "The least time between two vacation replies to the same sender."
)
SIEVE_VACATION_MAX_PERIOD = seconds(
    "sieve_vacation_max_period", "0s", "The longest time between two vacation replies; 0: no limit."
)
SIEVE_VACATION_DONT_CHECK_RECIPIENT = boolean(
    "sieve_vacation_dont_check_recipient",
    "no",
    "Reply also to messages that do not name the user in To, Cc or Bcc (against RFC 5230 section 4.5).",
)
SIEVE_DUPLICATE_MAX_PERIOD = seconds(
    "sieve_duplicate_max_period", "2d", "The longest time for which the duplicate test remembers a message."
)
LDA_MAILBOX_AUTOCREATE = boolean(
    "lda_mailbox_autocreate", "no", "Whether fileinto without :create makes a mailbox that does not exist."
)
SIEVE_ERROR_NOTICE = boolean(
    "sieve_error_notice", "yes", "Tell users of errors in their scripts by mail, once a day at most."
)
SIEVE_SPAMTEST_STATUS_HEADER = _score_header(
    "sieve_spamtest_status_header",
    """Where a spam filter has written its score, for the test spamtest: the name of a header field, or that name, ":"
    and an expression whose first group is the score.""",
)
SIEVE_SPAMTEST_STATUS_TYPE = choice(
    "sieve_spamtest_status_type",
    "score",
    "What that is: a number, or a text as long as the score.",
    ("score", "strlen"),
)
SIEVE_SPAMTEST_MAX_VALUE = integer("sieve_spamtest_max_value", "10", "The score that is certainly spam.", minimum=1)
SIEVE_VIRUSTEST_STATUS_HEADER = _score_header(
    "sieve_virustest_status_header", "Where a virus filter has written its score, as for spamtest."
)
SIEVE_VIRUSTEST_STATUS_TYPE = choice(
    "sieve_virustest_status_type",
    "score",
    "What that is: a number, or a text as long as the score.",
    ("score", "strlen"),
)
SIEVE_VIRUSTEST_MAX_VALUE = integer("sieve_virustest_max_value", "5", "The score that is certainly a virus.", minimum=1)
