"""The program `imap-login`: the net user's part of IMAP, confined, with auth and the session sockets in reach."""

from __future__ import annotations

from pillarbox.imapd.login.dialogue import ImapLogin
from pillarbox.lib.process.login import login_program

PROGRAM = login_program("imap", ImapLogin)
