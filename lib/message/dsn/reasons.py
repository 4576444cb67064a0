"""Enhanced status codes in plain words: the cause and what the sender can do (RFC 3463 and the IANA registry).

The class digit does not matter here: whether something is final is said elsewhere in the report.
"""

from __future__ import annotations

_CHECK = "Check the spelling of the address, then send the message again."
_WAIT = "This is a problem on the way, not with your message. Try again later, or reach the recipient another way."
_ASK = "Ask the recipient, by another way, to have the problem at the receiving side looked into."

REASONS: dict[str, tuple[str, str]] = {
    "1.1": ("The receiving server has no mailbox of this name.", _CHECK),
    "1.2": ("The part of the address after the @ does not exist, or receives no mail.", _CHECK),
    "1.3": ("The address is not written as a mail address must be.", _CHECK),
    "1.4": ("The address fits more than one mailbox.", _CHECK),
    "1.6": ("The recipient has moved and left no new address that mail could follow.", "Ask for the new address."),
    "1.7": ("The receiving server does not accept your sender address.", "Check the sender address in your program."),
    "1.8": ("The domain of your sender address is not known to the receiving server.", "Ask your provider for help."),
    "1.10": ("The domain says that it receives no mail at all.", _CHECK),
    "2.0": ("The mailbox cannot take the message.", _ASK),
    "2.1": ("The mailbox exists but is switched off.", _ASK),
    "2.2": ("The recipient's mailbox is full.", "Try again later, or reach the recipient another way."),
    "2.3": ("The message is larger than the recipient may receive.", "Send it smaller, or without its attachments."),
    "2.4": ("The list or group behind the address could not be expanded.", _ASK),
    "3.0": ("The receiving system had a problem of its own.", _ASK),
    "3.1": ("The receiving system's disk is full.", _WAIT),
    "3.2": ("The receiving system is not accepting mail at present.", _WAIT),
    "3.4": ("The message is too large for the receiving system.", "Send it smaller, or without its attachments."),
    "3.5": ("The receiving system is not set up as it should be.", _ASK),
    "4.1": ("The receiving server could not be reached.", _WAIT),
    "4.2": ("The connection to the receiving server broke.", _WAIT),
    "4.3": ("The directory of names (DNS) could not be asked.", _WAIT),
    "4.4": ("The part of the address after the @ leads to no mail server.", _CHECK),
    "4.5": ("The receiving system is overloaded.", _WAIT),
    "4.6": ("The message went round in a circle between servers.", _ASK),
    "4.7": ("The message waited too long without being taken.", _WAIT),
    "5.2": ("The two servers did not understand each other.", _ASK),
    "5.3": ("The message has more recipients than the receiving server takes.", "Send it to fewer people at a time."),
    "6.1": ("The receiving server does not take this kind of content.", "Send it as plain text."),
    "6.3": ("The message would have to be converted to be delivered.", "Send it as plain text."),
    "6.7": ("The receiving server does not take addresses with letters beyond ASCII.", "Use another address, if any."),
    "7.0": ("The receiving server refused the message by a rule of its own.", _ASK),
    "7.1": (
        "The receiving server does not want this message from you or for this recipient.",
        "Ask the recipient, by another way, whether your mail is blocked; the server's own words are below.",
    ),
    "7.2": ("You may not write to this list.", "Ask the owner of the list."),
    "7.8": ("Our system could not prove who it is to the receiving server.", "Ask your provider for help."),
    "7.10": ("The connection could not be encrypted as required.", "Ask your provider for help."),
    "7.20": ("No signature of the message passed the receiving server's check.", "Ask your provider for help."),
    "7.23": ("The receiving server takes the message for forged (SPF).", "Send it through your own provider's server."),
    "7.25": ("The receiving server cannot find the name of the sending machine.", "Ask your provider for help."),
    "7.26": ("The receiving server takes the message for forged.", "Send it through your own provider's server."),
    "7.27": (
        "The domain of your sender address receives no mail, so it may send none.",
        "Ask your provider for help.",
    ),
}

_BY_SUBJECT: dict[str, tuple[str, str]] = {
    "0": ("The message could not be delivered.", _ASK),
    "1": ("The address was not accepted.", _CHECK),
    "2": ("The mailbox could not take the message.", _ASK),
    "3": ("The receiving system could not take the message.", _ASK),
    "4": ("The message could not be brought to the receiving server.", _WAIT),
    "5": ("The two servers did not understand each other.", _ASK),
    "6": ("The receiving server does not take this content.", "Send it as plain text."),
    "7": ("The receiving server refused the message.", _ASK),
}


def explain(status: str) -> tuple[str, str]:
    """(cause, cure) for an enhanced status code such as `5.1.1`; something true for any text."""
    _, _, detail = status.partition(".")
    if detail in REASONS:
        return REASONS[detail]
    return _BY_SUBJECT.get(detail.partition(".")[0], _BY_SUBJECT["0"])
