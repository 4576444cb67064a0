"""Enhanced status codes in plain words: the cause and what the sender can do (RFC 3463 and the IANA registry).

`{domain}` in a text is the domain of the recipient.  The class digit does not matter here: whether something is final
is said elsewhere in the report.  Every code of the registry has a row; a code that is in none gets that of its subject.
"""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """A sentence of cause, and one of what the sender can do."""

    cause: str
    cure: str


CHECK = "Check the spelling of the address, then send the message again."
WAIT = "This is a problem on the way, not with your message. Try again later, or reach the recipient another way."
ASK = "Ask the recipient, by another way, to have the problem at the receiving side looked into."
HELP = "Ask the people who run your mail system for help, and show them this report."
SMALLER = "Send it smaller, or put attachments where the recipient can fetch them and send the link."
PLAIN = "Send it as plain text, without attachments."
OTHER_ADDRESS = "Use another address of the recipient, if there is one."
OWN_SERVER = "Send it through the server of the provider that your sender address belongs to."

REASONS: dict[str, Reason] = {
    "0.0": Reason("The message could not be delivered; the servers gave no closer reason.", ASK),
    # X.1: addresses
    "1.0": Reason("The address was not accepted.", CHECK),
    "1.1": Reason("There is no mailbox with this name at {domain}.", CHECK),
    "1.2": Reason("The domain {domain} does not exist, or receives no mail.", CHECK),
    "1.3": Reason("The address is not written as a mail address must be.", CHECK),
    "1.4": Reason("The address fits more than one mailbox.", "Ask the recipient for the exact address."),
    "1.5": Reason("The address is in order; the trouble lies elsewhere.", ASK),
    "1.6": Reason("The recipient has moved and left no new address.", "Ask the recipient for the new address."),
    "1.7": Reason("The receiving server does not accept your sender address.", "Check the address in your program."),
    "1.8": Reason("The receiving server does not know the domain of your sender address.", HELP),
    "1.9": Reason("The message went on to a system that gives no account of it.", ASK),
    "1.10": Reason("The domain {domain} says that it receives no mail at all.", CHECK),
    # X.2: mailboxes
    "2.0": Reason("The mailbox could not take the message.", ASK),
    "2.1": Reason("The mailbox exists, but is switched off or takes no mail at present.", ASK),
    "2.2": Reason(
        "The recipient's mailbox is full.",
        "Tell the recipient by another way, and send the message again when there is room.",
    ),
    "2.3": Reason("The message is larger than the recipient may receive.", SMALLER),
    "2.4": Reason("The list or group behind the address could not be expanded.", ASK),
    # X.3: mail systems
    "3.0": Reason("The receiving system had a problem of its own.", ASK),
    "3.1": Reason("The receiving system's disk is full.", WAIT),
    "3.2": Reason("The receiving system is not accepting mail at present.", WAIT),
    "3.3": Reason("The receiving system cannot do something that this message asks for.", PLAIN),
    "3.4": Reason("The message is too large for the receiving system.", SMALLER),
    "3.5": Reason("The receiving system is not set up as it should be.", ASK),
    "3.6": Reason("The receiving system has changed the priority of the message.", ASK),
    # X.4: the network and the way
    "4.0": Reason("The message could not be brought to the receiving server.", WAIT),
    "4.1": Reason("The receiving server could not be reached, or gave no answer.", WAIT),
    "4.2": Reason("The connection to the receiving server broke.", WAIT),
    "4.3": Reason("The directory that names the receiving server (DNS) could not be asked.", WAIT),
    "4.4": Reason("No mail server can be found for {domain}.", CHECK),
    "4.5": Reason("The receiving system has too much to do.", WAIT),
    "4.6": Reason("The message went round in a circle between servers.", ASK),
    "4.7": Reason("The message waited too long without being taken.", WAIT),
    # X.5: the protocol
    "5.0": Reason("The two servers did not understand each other.", HELP),
    "5.1": Reason("The receiving server does not know a command that was given to it.", HELP),
    "5.2": Reason("The receiving server did not understand a command that was given to it.", HELP),
    "5.3": Reason("The message has more recipients than the receiving server takes.", "Send it to fewer at a time."),
    "5.4": Reason("The receiving server refuses an option that was given to it.", HELP),
    "5.5": Reason("The two servers speak different versions of the protocol.", HELP),
    "5.6": Reason("Our server's proof of who it is was too long for the receiving server.", HELP),
    # X.6: content
    "6.0": Reason("The receiving server does not take this content.", PLAIN),
    "6.1": Reason("The receiving server does not take this kind of content.", PLAIN),
    "6.2": Reason("The message would have to be converted, and that is forbidden for it.", PLAIN),
    "6.3": Reason("The message would have to be converted, and nobody on the way can.", PLAIN),
    "6.4": Reason("The message was converted, and something of it was lost.", PLAIN),
    "6.5": Reason("The message had to be converted, and that failed.", PLAIN),
    "6.6": Reason(
        "The content of the message was not at hand when it was asked for.", "Send it again, with the content."
    ),
    "6.7": Reason("The receiving server takes no addresses with letters beyond ASCII.", OTHER_ADDRESS),
    "6.8": Reason("The receiving server can answer only in a form that ours may not take.", OTHER_ADDRESS),
    "6.9": Reason("The receiving server takes no header with letters beyond ASCII.", OTHER_ADDRESS),
    "6.10": Reason("The receiving server can answer only in a form that ours may not take.", OTHER_ADDRESS),
    # X.7: security and policy
    "7.0": Reason("The receiving server refused the message by a rule of its own.", ASK),
    "7.1": Reason(
        "The receiving server does not want this message from you, or not for this recipient.",
        "Ask the recipient, by another way, whether your mail is blocked; the server's own words are below.",
    ),
    "7.2": Reason("You may not write to this list.", "Ask the owner of the list."),
    "7.3": Reason("The message is protected in a way that would have to be changed, and cannot be.", HELP),
    "7.4": Reason("The receiving server lacks a protection that this message asks for.", OTHER_ADDRESS),
    "7.5": Reason("The message could not be deciphered or checked.", HELP),
    "7.6": Reason("The servers have no method of encryption in common.", HELP),
    "7.7": Reason("The message was changed on its way.", "Send it again."),
    "7.8": Reason("Our system could not prove to the receiving server who it is.", HELP),
    "7.9": Reason("Our system's proof of who it is is too weak for the receiving server.", HELP),
    "7.10": Reason("The connection had to be encrypted and could not be.", HELP),
    "7.11": Reason("The receiving server asks for encryption before our system may prove who it is.", HELP),
    "7.12": Reason("The password of our system at the receiving server has to be renewed.", HELP),
    "7.13": Reason("The account that the message was to go through is disabled.", HELP),
    "7.14": Reason("The receiving server takes mail only from servers that it knows.", HELP),
    "7.15": Reason("The receiving server takes only more urgent mail at present.", WAIT),
    "7.16": Reason("The message is too large for its priority.", SMALLER),
    "7.17": Reason("The mailbox belongs to somebody else now.", "Ask the recipient for the new address."),
    "7.18": Reason("The domain {domain} belongs to somebody else now.", "Ask the recipient for the new address."),
    "7.19": Reason("The receiving server cannot tell whether the mailbox is still the same person's.", ASK),
    "7.20": Reason("No signature of the message (DKIM) passed the receiving server's check.", HELP),
    "7.21": Reason("The receiving server accepts none of the message's signatures (DKIM).", HELP),
    "7.22": Reason("No valid signature (DKIM) belongs to the domain of your sender address.", HELP),
    "7.23": Reason("The sending machine may not send for the domain of your address (SPF).", OWN_SERVER),
    "7.24": Reason("The rules of your sender address's domain (SPF) could not be evaluated.", HELP),
    "7.25": Reason("The receiving server cannot find the name of the sending machine.", HELP),
    "7.26": Reason("The receiving server takes the message for forged (several checks failed).", OWN_SERVER),
    "7.27": Reason("The domain of your sender address receives no mail, so it may send none.", HELP),
    "7.28": Reason("The recipient gets too much mail at once.", "Wait for some hours, then send the message again."),
    "7.29": Reason("The record of the message's way (ARC) did not pass the receiving server's check.", HELP),
    "7.30": Reason("The message must travel encrypted all the way (REQUIRETLS), and cannot.", OTHER_ADDRESS),
}

_BY_CODE: dict[int, Reason] = {
    421: REASONS["3.2"],
    422: REASONS["2.2"],
    431: REASONS["3.1"],
    441: REASONS["4.1"],
    450: Reason("The recipient's mailbox is not available at present.", WAIT),
    451: REASONS["3.0"],
    452: REASONS["3.1"],
    454: REASONS["7.10"],
    523: REASONS["3.4"],
    530: REASONS["7.10"],
    535: REASONS["7.8"],
    552: REASONS["3.4"],
    553: REASONS["1.3"],
    556: REASONS["1.10"],
}
"""What a basic code means where the enhanced one says nothing; 550 and 554 are used for everything."""


def by_status(status: str, code: int = 0) -> Reason:
    """The row for an enhanced status code such as `5.1.1`, else for an SMTP code; something true for any text."""
    _, _, detail = status.partition(".")
    subject, _, number = detail.partition(".")
    if detail in REASONS and number != "0":
        return REASONS[detail]
    if code in _BY_CODE and subject in ("0", "3", "5", ""):
        return _BY_CODE[code]
    return REASONS.get(f"{subject}.0", REASONS["0.0"])
