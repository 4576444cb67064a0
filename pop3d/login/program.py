"""The program `pop3-login`: the net user's part of POP3, confined, with auth and the session sockets in reach."""

from __future__ import annotations

from pillarbox.lib.process.login import login_program
from pillarbox.pop3d.login.dialogue import Pop3Login

PROGRAM = login_program("pop3", Pop3Login)
