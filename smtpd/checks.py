"""What is looked at before a command is obeyed: an ordered row of checks for each stage of a session.

A check is a function from session and event to a refusal, or None where it has nothing against it; one that has to ask
others first returns a coroutine for the same.  The first refusal is the answer.  `configured_checks` builds the rows
once per process: what is not configured has no check, so it costs nothing; and while all checks answer at once no task
is made.

A check reads what it needs from the session: `session.client`, `session.transaction`, in RCPT
`session.transaction.candidate`.  It changes nothing of the protocol's state, which is the core's.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd import milters, proxy_filter, rates, scheduling, storage
from pillarbox.smtpd.policy import driver as policy
from pillarbox.smtpd.screening import accounts, greylisting, screen

if TYPE_CHECKING:
    from pillarbox.smtpd.server import Server
    from pillarbox.smtpd.session import Session

Stage: TypeAlias = Literal["CONNECT", "HELO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE", "VRFY", "ETRN", "UNKNOWN"]
"""The stages, by the names that the log has for them."""

STAGES: Final[tuple[Stage, ...]] = get_args(Stage)

Verdict: TypeAlias = Reply | None
Check: TypeAlias = "Callable[[Session, Any], Verdict | Coroutine[Any, Any, Verdict]]"
Checks: TypeAlias = Mapping[Stage, Sequence[Check]]

_PARTS: Final[tuple[Callable[[Server], Checks], ...]] = (
    rates.checks,
    screen.checks,
    policy.checks,
    scheduling.checks,
    storage.checks,
    greylisting.checks,
    accounts.checks,
    milters.checks,  # last: they see what nothing else speaks against
    proxy_filter.checks,  # what it has taken nobody may refuse any more
)
"""Where checks come from, in the order in which they are made in each stage."""


def configured_checks(server: Server) -> Checks:
    """The rows of checks that the service's configuration asks for."""
    parts = [part(server) for part in _PARTS]
    return {stage: tuple(check for part in parts for check in part.get(stage, ())) for stage in STAGES}


def decide(
    session: Session,
    stage: Stage,
    event: Any,
    obey: Callable[[Session, Any], None],
    refuse: Callable[[Session, Any, Reply], None],
) -> None:
    """Make the checks of a stage, then call `obey`, or `refuse` with the first refusal; at once where that can be."""
    checks = session.server.checks[stage]
    for number, check in enumerate(checks):
        verdict = check(session, event)
        if verdict is None:
            continue
        if isinstance(verdict, Reply):
            refuse(session, event, verdict)
        else:
            # What anvil has counted at connect must be taken back at the end: that is never cut off.
            work = _go_on(session, event, verdict, checks[number + 1 :], obey, refuse)
            session.later(work, must_end=stage == "CONNECT")
        return
    obey(session, event)


async def _go_on(
    session: Session,
    event: Any,
    pending: Coroutine[Any, Any, Verdict],
    rest: Sequence[Check],
    obey: Callable[[Session, Any], None],
    refuse: Callable[[Session, Any, Reply], None],
) -> None:
    verdict = await pending
    for check in rest:
        if verdict is not None:
            break
        answer = check(session, event)
        verdict = answer if answer is None or isinstance(answer, Reply) else await answer
    if not session.core.closed:
        if verdict is not None:
            refuse(session, event, verdict)
        else:
            obey(session, event)
