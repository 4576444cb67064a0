"""The passwords of the client: read once, as they were then; which of them a service has."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.config import Config, Service
from pillarbox.lib.log import log
from pillarbox.lib.tables import LookupFailed, TableError
from pillarbox.smtp_client.passwords import Passwords
from pillarbox.smtp_client.program import PROGRAM


def passwords(tables: str) -> Passwords:
    return Passwords(Config.for_tests(smtp_sasl_password_maps=tables))


def test_the_first_key_that_is_known_counts() -> None:
    found = passwords("inline:{one=1}, inline:{one=another, two=2}")
    assert found.find(["none", "two", "one"]) == "2"
    assert found.find(["one"]) == "1"
    assert found.find(["none"]) is None


def test_patterns_see_no_parts_of_addresses(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("/example/ ann:secret\n")
    found = passwords(f"regexp:{tmp_path}/rules")
    assert found.find(["@mail.example"]) is None
    assert found.find(["ann@mail.example"]) == "ann:secret"


def test_a_file_that_changes_or_goes_is_not_looked_at(tmp_path: Path) -> None:
    """The process may not read it any more, and need not: what it has read stays."""
    file = tmp_path / "passwords"
    file.write_text("host ann:old\n")
    found = passwords(f"texthash:{file}")
    file.write_text("host ann:new and longer\n")
    assert found.find(["host"]) == "ann:old"
    file.unlink()
    assert found.find(["host"]) == "ann:old"


def test_a_file_that_cannot_be_read_is_said_at_once_and_no_look_up_succeeds(tmp_path: Path) -> None:
    with log.capture() as lines:
        found = passwords(f"texthash:{tmp_path}/none")
    reason = f"table texthash:{tmp_path}/none: open {tmp_path}/none: No such file or directory"
    assert lines == [f"error: {reason}"]
    (tmp_path / "none").write_text("host ann:secret\n")
    with pytest.raises(LookupFailed, match="No such file"):
        found.find(["host"])


def test_a_table_that_asks_others_cannot_be_used() -> None:
    with pytest.raises(TableError, match=r"smtp_sasl_password_maps: table accounts:x: .* asks the account database"):
        passwords("accounts:x")


@pytest.mark.parametrize(
    ("service", "settings", "tables"),
    [
        ("smtp", {}, ("hash:/a",)),
        ("lmtp", {}, ("hash:/a",)),
        ("lmtp", {"lmtp_sasl_password_maps": "hash:/l"}, ("hash:/l",)),
        ("smtp", {"lmtp_sasl_password_maps": "hash:/l"}, ("hash:/a",)),
        ("smtp", {"smtp_sasl_auth_enable": "no"}, ()),
    ],
)
def test_what_master_watches(service: str, settings: dict[str, str], tables: tuple[str, ...]) -> None:
    values = {"smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": "hash:/a", **settings}
    view = Config.for_tests(**values).for_service(Service(service, "smtp_client"))
    assert PROGRAM.tables is not None
    assert PROGRAM.tables(view) == {"smtp_sasl_password_maps": tables}
