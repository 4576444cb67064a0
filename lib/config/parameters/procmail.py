"""Parameters of procmail recipes, which the delivery agent for system users carries out itself."""

from __future__ import annotations

from pillarbox.lib.config.parameter import path, template

PROCMAILRC_PATH = template(
    "procmailrc_path",
    "",
    """Where a user's procmail recipes are looked for, as $home/.procmailrc; empty: nowhere. $home, $user,
    $recipient_delimiter and $extension stand for those of the recipient. They are carried out with the user's rights
    where mailbox_command is empty (docs/procmail.md). One with a mistake is not used: the mail goes to the mailbox, and
    the log says what is wrong.""",
)
SENDMAIL_PATH = path(
    "sendmail_path",
    "",
    "The sendmail command with which recipes send mail on (their variable SENDMAIL); empty: that of this suite.",
)
