"""The milter protocol, as the MTA speaks it, without sockets: versions 2 to 6.

The protocol was never published as a standard; the sources are the include files and the documentation of libmilter
(`mfdef.h`, the smfi_* and xxfi_* manual pages).  A packet is a 4-byte big-endian length, one byte that names it, data.

What a milter sends is not believed: each packet is bounded, each answer must fit the step that it answers and the
actions that were agreed on; anything else is a `MilterError`, and the milter counts as broken.
"""

from pillarbox.lib.milter.answers import (
    Accept,
    AddHeader,
    AddRecipient,
    Answer,
    ChangeHeader,
    ChangeSender,
    Continue,
    DeleteRecipient,
    Discard,
    Edit,
    InsertHeader,
    Progress,
    Quarantine,
    Refuse,
    ReplaceBody,
    Shutdown,
    Skip,
    parse_answer,
)
from pillarbox.lib.milter.conversation import Conversation, Verdict
from pillarbox.lib.milter.header import HeaderList, HeaderTooLarge
from pillarbox.lib.milter.options import Agreement, Offer, parse_agreement
from pillarbox.lib.milter.packets import MilterError, PacketReader

__all__ = [
    "Accept",
    "AddHeader",
    "AddRecipient",
    "Agreement",
    "Answer",
    "ChangeHeader",
    "ChangeSender",
    "Continue",
    "Conversation",
    "DeleteRecipient",
    "Discard",
    "Edit",
    "HeaderList",
    "HeaderTooLarge",
    "InsertHeader",
    "MilterError",
    "Offer",
    "PacketReader",
    "Progress",
    "Quarantine",
    "Refuse",
    "ReplaceBody",
    "Shutdown",
    "Skip",
    "Verdict",
    "parse_agreement",
    "parse_answer",
]
