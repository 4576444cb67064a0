"""LOGIN-REFERRALS (RFC 2221): an account whose mail is on another server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imap.server import ACCOUNT, PASSWORD, Server


@pytest.mark.parametrize("place", ["imap://mail2.example.com/", "imap://mail2.example.com"])
def test_a_client_is_referred_after_login(tmp_path: Path, place: str) -> None:
    """Section 4.1, and section 6: nobody learns of it without the password."""
    with Server(tmp_path, mail_location=place) as server:
        lines = server.say(f"a LOGIN {ACCOUNT} wrong\r\nb LOGIN {ACCOUNT} {PASSWORD}\r\n".encode())
    assert lines[0].startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert lines[1].startswith(b"b NO [REFERRAL imap://ann%40example.com;AUTH=*@mail2.example.com/] ")
    assert lines[2].startswith(b"* BYE")
