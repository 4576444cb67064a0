"""The program `managesieve-login`: the net user's part of ManageSieve, confined, with auth and the session sockets in
reach."""

from __future__ import annotations

from pillarbox.lib.process.login import login_program
from pillarbox.managesieved.login.dialogue import ManageSieveLogin

PROGRAM = login_program("managesieve", ManageSieveLogin)
