"""The words at the top of a report, and the files in which administrators write their own (bounce(5) of Postfix).

    # a comment
    failure_template = <<EOF
    Charset: utf-8
    From: MAILER-DAEMON (Mail Delivery System)
    Subject: Undelivered Mail Returned to Sender
    Postmaster-Subject: Postmaster Copy: Undelivered Mail

    This is the mail system at host $myhostname.
    EOF

Any word may stand for EOF.  The header must be ASCII (encoded words are for other letters), the text is in `Charset`.
`$name` is expanded by whoever knows the parameters; `$retry_until` is when a delayed message will be given up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

FILE_LIMIT = 256 * 1024
"""Bytes of a template file; four texts for people are far smaller."""

TEXT_LIMIT = 16 * 1024
"""Characters of one text."""

NAMES = ("failure", "delay", "success", "verify", "late")
"""Templates; `late` is ours, for RFC 2852 (the others are Postfix's)."""

RETRY_UNTIL = "retry_until"

_BEGIN = re.compile(r"(\w+)_template\s*=\s*<<\s*(\S+)\s*")
_FIELD = re.compile(r"([A-Za-z-]+):[ \t]*(.*)")
_FIELDS = {"charset": "charset", "from": "sender", "subject": "subject", "postmaster-subject": "postmaster_subject"}
_CHARSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")
_NAMED = re.compile(r"(\S+)\s*\((.*)\)")


AUTHOR = "MAILER-DAEMON (Mail Delivery System)"


class BadTemplate(ValueError):
    """A template that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Template:
    """One template.  `built_in`: the words are ours, and the usual closing words follow the recipients."""

    subject: str
    body: str
    postmaster_subject: str = ""
    sender: str = AUTHOR
    charset: str = "us-ascii"
    built_in: bool = False

    def author(self, host: str) -> str:
        """The From field's value; an address without a domain is at `host`."""
        named = _NAMED.fullmatch(self.sender)
        address, name = (named[1], named[2]) if named else (self.sender, "")
        if "<" in address or "<" in self.sender:
            return self.sender
        address = address if "@" in address else f"{address}@{host}"
        return f"{name} <{address}>" if name else address

    def expanded(self, value_of: Callable[[str], str]) -> Template:
        """With `$name` expanded in the text, by `value_of` the whole text.  Raises ValueError."""
        return replace(self, body=value_of(self.body))

    def written(self, name: str) -> str:
        """As it stands in a file."""
        return (
            f"{name}_template = <<EOF\nCharset: {self.charset}\nFrom: {self.sender}\nSubject: {self.subject}\n"
            f"Postmaster-Subject: {self.postmaster_subject}\n\n{self.body}EOF\n"
        )


def read_templates(data: bytes, warn: Callable[[str], None]) -> dict[str, Template]:
    """The usable templates of a file by name; each mistake is told to `warn`, and costs only its own template."""
    found: dict[str, Template] = {}
    if len(data) > FILE_LIMIT:
        warn(f"the file has more than {FILE_LIMIT} bytes")
        return found
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    position = 0
    while position < len(lines):
        line = lines[position].rstrip("\r")
        position += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        begin = _BEGIN.fullmatch(line)
        if begin is None:
            warn(f'line {position}: "NAME_template = <<EOF" was expected')
            continue
        start, name, word = position, begin[1], begin[2]
        while position < len(lines) and lines[position].strip() != word:
            position += 1
        block, position = lines[start:position], position + 1
        try:
            if position > len(lines):
                raise BadTemplate(f'there is no line "{word}" at its end')
            if name not in NAMES:
                raise BadTemplate(f"a template is one of {', '.join(f'{each}_template' for each in NAMES)}")
            found[name] = _parse([each.rstrip("\r") for each in block])
        except BadTemplate as error:
            warn(f"line {start}: {name}_template: {error}")
    return found


def _parse(lines: list[str]) -> Template:
    fields: dict[str, str] = {}
    body = iter(lines)
    for line in body:
        if not line.strip():
            break
        match = _FIELD.fullmatch(line)
        attribute = _FIELDS.get(match[1].lower()) if match else None
        if match is None or attribute is None:
            raise BadTemplate(f'"{line[:40]}" is none of Charset:, From:, Subject:, Postmaster-Subject:')
        if not line.isascii() or not line.isprintable():
            raise BadTemplate(f"{match[1]}: only printable ASCII may stand in the header")
        fields[attribute] = match[2].strip()
    if not fields.get("subject"):
        raise BadTemplate("it has no Subject: (the header ends with the first empty line)")
    if not _CHARSET.fullmatch(fields.setdefault("charset", "us-ascii")):
        raise BadTemplate(f'"{fields["charset"]}" is no charset')
    text = "\n".join(body) + "\n"
    if not text.strip():
        raise BadTemplate("it has no text")
    _check_text(text, fields["charset"].lower())
    fields["sender"] = fields.get("sender") or AUTHOR
    fields.setdefault("postmaster_subject", fields["subject"])
    return Template(
        fields["subject"],
        text,
        fields["postmaster_subject"],
        fields["sender"],
        fields["charset"],
    )


def _check_text(text: str, charset: str) -> None:
    if len(text) > TEXT_LIMIT:
        raise BadTemplate(f"its text has more than {TEXT_LIMIT} characters")
    if any(len(line.encode("utf-8", "surrogateescape")) > 900 for line in text.split("\n")):
        raise BadTemplate("a line of it has more than 900 bytes")
    if "\0" in text:
        raise BadTemplate("its text has a NUL")
    if charset == "us-ascii" and not text.isascii():
        raise BadTemplate('its text is not ASCII: say "Charset: utf-8"')
    if charset == "utf-8":
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadTemplate("its text is not UTF-8") from None


_UNITS = (("seconds", 1), ("minutes", 60), ("hours", 3600), ("days", 86400), ("weeks", 604800))


def time_names(times: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """`maximal_queue_lifetime_days` and the like, for durations in seconds by their names."""
    for name, seconds in times.items():
        for unit, divisor in _UNITS:
            yield f"{name}_{unit}", str(int(seconds) // divisor)
