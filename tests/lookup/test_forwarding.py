"""Senders of mail that is sent on, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.log import log
from pillarbox.lib.tables import LookupFailed
from pillarbox.lookup.forwarding import read_keys
from pillarbox.lookup.mistakes import mistakes
from pillarbox.lookup.service import Lookup


def lookup(folder: Path, secret: str = "a secret that is long", mode: int = 0o600, **values: str) -> Lookup:
    file = folder / "srs.secret"
    if secret:
        file.write_text(f"# keys\n{secret}\n")
        file.chmod(mode)
    settings = {
        "myhostname": "mx.own.example",
        "mydomain": "own.example",
        "inet_interfaces": "loopback-only",
        "virtual_mailbox_domains": "hosted.example",
        "virtual_mailbox_maps": "inline:{ann@hosted.example=x}",
        "virtual_alias_domains": "alias.example",
        "relay_domains": "relay.example",
        "srs_domain": "own.example",
        "srs_secret_file": str(file),
    }
    return Lookup(Config.for_tests(**(settings | values)))


FORWARDED = [
    ("s@far.example", "ann@hosted.example", "ann@else.example", True),
    ("s@far.example", "ann@alias.example", "ann@else.example", True),
    ("s@far.example", "ann", "ann@else.example", True),
    ("", "ann@hosted.example", "ann@else.example", False),
    ("s@hosted.example", "ann@hosted.example", "ann@else.example", False),
    ("s", "ann@hosted.example", "ann@else.example", False),
    ("s@far.example", "ann@hosted.example", "ann@relay.example", False),
    ("s@far.example", "ann@hosted.example", "bob@hosted.example", False),
    ("s@far.example", "ann@else.example", "ann@new.example", False),
    ("s@far.example", "", "ann@else.example", False),
]


@pytest.mark.parametrize(("sender", "original", "address", "replaced"), FORWARDED)
def test_only_mail_of_strangers_to_us_that_goes_elsewhere_has_another_sender(
    tmp_path: Path, sender: str, original: str, address: str, replaced: bool
) -> None:
    found = lookup(tmp_path).forwarding.sender(sender, original, address)
    assert (found is not None) is replaced
    if found is not None:
        assert found.endswith("=far.example=s@own.example")


def test_it_is_off_by_default(tmp_path: Path) -> None:
    off = lookup(tmp_path, srs_domain="")
    assert off.forwarding.sender("s@far.example", "ann@hosted.example", "ann@else.example") is None
    assert off.forwarding.back("SRS0=x=yy=a.example=b@own.example") is None


def test_what_comes_back_is_taken_and_what_is_forged_is_not(tmp_path: Path) -> None:
    ours = lookup(tmp_path, "a new secret, long enough\na secret that is long")
    before = lookup(tmp_path)
    address = before.forwarding.sender("s@far.example", "ann@hosted.example", "ann@else.example")
    assert address is not None
    assert ours.recipients.verdict(address).status == "ok"
    assert ours.forwarding.back(address) == "s@far.example"
    forged = ours.recipients.verdict(address.replace("=s@", "=t@"))
    assert (forged.status, forged.code, forged.text) == ("unknown", 550, "SRS address has a wrong hash")
    assert ours.recipients.verdict(address.replace("own.example", "far.example")).status == "relay_denied"


@pytest.mark.parametrize(
    ("secret", "mode", "why"),
    [
        ("", 0o600, "No such file"),
        ("short", 0o600, "16 or more"),
        ("x" * 20, 0o644, "others may read"),
        ("#", 0o600, "a secret"),
    ],
)
def test_without_good_secrets_mail_waits(tmp_path: Path, secret: str, mode: int, why: str) -> None:
    with log.capture() as lines:
        broken = lookup(tmp_path, secret, mode)
    assert any(why in line and "srs_secret_file" in line for line in lines)
    with pytest.raises(LookupFailed, match=why):
        broken.forwarding.sender("s@far.example", "ann@hosted.example", "ann@else.example")
    with pytest.raises(LookupFailed):
        broken.recipients.verdict("SRS0=vmyz=2W=otherdomain.com=test@own.example")
    assert broken.recipients.verdict("ann@hosted.example").status == "ok", "others are not concerned"


def test_keys_are_lines(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"# a comment\n  first secret 0123  \n\nsecond secret 0123\n")
    file.chmod(0o600)
    assert read_keys(str(file)) == (b"first secret 0123", b"second secret 0123")


def test_check_finds_what_is_wrong(tmp_path: Path) -> None:
    settings = {"srs_domain": "own.example", "srs_secret_file": str(tmp_path / "no"), "always_bcc": "a b"}
    found = list(mistakes(Config.for_tests(**settings)))
    assert len(found) == 2
    assert found[0].startswith("srs_secret_file: open ") and found[1].startswith("always_bcc: an address was expected")
    assert list(mistakes(Config.for_tests(always_bcc="archive"))) == []
