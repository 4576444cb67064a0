"""Tests on mailboxes and their annotations (RFC 5490, RFC 8579)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.match import TAGS as MATCH_TAGS
from pillarbox.lib.sieve.match import Comparison, comparison
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import STRING, STRINGS, Positional, Rule
from pillarbox.lib.sieve.text import Text, Texts


@dataclass(frozen=True, slots=True)
class MailboxExists:
    """`mailboxexists`: all of them."""

    names: Texts

    def holds(self, run: Run) -> bool:
        return all(run.state.mailbox_exists(name) for name in self.names.get(run))


@dataclass(frozen=True, slots=True)
class Metadata:
    """`metadata` and, without mailbox, `servermetadata`; an annotation that is not there never fits."""

    mailbox: Text | None
    annotation: Text

    def of(self, run: Run) -> Sequence[str] | None:
        mailbox = None if self.mailbox is None else self.mailbox.get(run)
        value = run.state.metadata(mailbox, self.annotation.get(run).lower())
        return None if value is None else (value,)


@dataclass(frozen=True, slots=True)
class MetadataExists:
    """`metadataexists` and `servermetadataexists`: all of them."""

    mailbox: Text | None
    annotations: Texts

    def holds(self, run: Run) -> bool:
        mailbox = None if self.mailbox is None else self.mailbox.get(run)
        return all(run.state.metadata(mailbox, name.lower()) is not None for name in self.annotations.get(run))


@dataclass(frozen=True, slots=True)
class SpecialUseExists:
    """`specialuse_exists`: each attribute is one of the mailbox's, or of any mailbox's."""

    mailbox: Text | None
    attributes: Texts

    def holds(self, run: Run) -> bool:
        mailbox = None if self.mailbox is None else self.mailbox.get(run)
        for attribute in self.attributes.get(run):
            found = run.state.special_use(attribute)
            if not found or (mailbox is not None and mailbox not in found):
                return False
        return True


def _mailbox(call: Call) -> Text | None:
    return call.text("mailbox") if call.has("mailbox") else None


def _metadata(call: Call) -> Comparison:
    return comparison(call, Metadata(_mailbox(call), call.text("annotation")))


def _metadata_exists(call: Call) -> MetadataExists:
    return MetadataExists(_mailbox(call), call.texts("annotations"))


_MAILBOX, _KEYS = Positional("mailbox", STRING), Positional("keys", STRINGS)
_ANNOTATION, _ANNOTATIONS = Positional("annotation", STRING), Positional("annotations", STRINGS)

TESTS = {
    "mailboxexists": Rule(
        lambda call: MailboxExists(call.texts("mailboxes")), "mailbox", (Positional("mailboxes", STRINGS),)
    ),
    "metadata": Rule(_metadata, "mboxmetadata", (_MAILBOX, _ANNOTATION, _KEYS), MATCH_TAGS),
    "metadataexists": Rule(_metadata_exists, "mboxmetadata", (_MAILBOX, _ANNOTATIONS)),
    "servermetadata": Rule(_metadata, "servermetadata", (_ANNOTATION, _KEYS), MATCH_TAGS),
    "servermetadataexists": Rule(_metadata_exists, "servermetadata", (_ANNOTATIONS,)),
    "specialuse_exists": Rule(
        lambda call: SpecialUseExists(_mailbox(call), call.texts("attributes")),
        "special-use",
        (Positional("mailbox", STRING, optional=True), Positional("attributes", STRINGS)),
    ),
}
