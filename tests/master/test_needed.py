"""Which services keep processes although nothing has been asked of them yet."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.parameters.smtpd_access import SMTPD_RECIPIENT_RESTRICTIONS, SMTPD_RESTRICTION_CLASSES
from pillarbox.master.programs import load_program
from pillarbox.master.roster import Station
from pillarbox.master.throttle import Throttle
from tests.lab.instance import Instance
from tests.lab.processes import tree

ON_DEMAND = ("verify", "milter", "quota", "imapd.system", "pop3d.system")

ONE_EACH = ("master", "pickup", "cleanup", "qmgr", "bounce", "showq", "virtual", "local", "smtp_client")
ONE_EACH += ("lookup", "auth", "anvil", "reputation")


def _warm(command: str, config: Config) -> int:
    return Station(Service("it", command), load_program(command), config, [], Throttle(1.0)).warm


@pytest.mark.parametrize("command", ON_DEMAND)
def test_nothing_is_kept_warm_that_no_parameter_asks_for(command: str) -> None:
    assert _warm(command, Config.for_tests()) == 0


@pytest.mark.parametrize(
    ("command", "values"),
    [
        ("verify", {SMTPD_RECIPIENT_RESTRICTIONS.name: "reject_unverified_recipient"}),
        ("verify", {SMTPD_RESTRICTION_CLASSES.name: "careful", "careful": "reject_unverified_sender"}),
        ("milter", {"smtpd_milters": "inet:127.0.0.1:11332"}),
        ("milter", {"non_smtpd_milters": "unix:/run/milter.sock"}),
        ("imapd.system", {"auth_system_users": "shadow"}),
        ("pop3d.system", {"auth_system_users": "pam"}),
    ],
)
def test_what_a_parameter_asks_for_is_warm(command: str, values: dict[str, str]) -> None:
    assert _warm(command, Config.for_tests(**values)) == 1


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("verify", {"smtpd_sender_restrictions": "reject_unverified_sender"}),
        ("milter", {"smtpd_milters": "inet:127.0.0.1:11332"}),
    ],
)
def test_the_options_of_a_service_count_too(command: str, options: dict[str, str]) -> None:
    services = {"smtpd": Service("smtpd", "smtpd"), "other": Service("other", "smtpd", options=options)}
    assert _warm(command, Config(Config.for_tests().values, services)) == 1


def test_the_processes_of_a_system_at_rest() -> None:
    names = []
    with Instance(plain=True) as mail:
        for process in tree(mail.master_pid()):
            title = Path(f"/proc/{process.pid}/cmdline").read_text().rstrip("\0").split(": ", 1)[1]
            names.append(title.split(" ")[0])
    several = {"smtpd": 5, **dict.fromkeys(("imap", "pop3", "imap-login", "pop3-login"), 2)}
    assert Counter(names) == {**dict.fromkeys(ONE_EACH, 1), **several}
