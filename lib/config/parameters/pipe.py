"""Parameters of the agent that hands mail to a command."""

from __future__ import annotations

from pillarbox.lib.config.parameter import seconds, template

PIPE_COMMAND = template(
    "pipe_command",
    "",
    """What a pipe service runs, set in its options in master.yaml as Postfix's pipe(8) takes it: "flags=DRhu
    argv=/usr/bin/maildrop -d ${recipient}". The service's user is the one that the command runs as, never root.""",
)
PIPE_TIME_LIMIT = seconds(
    "pipe_time_limit", "1000s", "How long the command of a pipe service may take for one message."
)
