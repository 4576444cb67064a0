"""What the site allows (EXPIRE, LOGIN-DELAY), how unique-ids are made, and headers for clients without UTF8."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.pop3d import POP3_EXPIRE, POP3_UIDL_FORMAT
from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import SEEN
from pillarbox.pop3d.protocol.capabilities import Terms, capabilities
from tests.pop3.test_login import Server
from tests.pop3.test_session import SMALL, Pop, deliver, location, serving

__all__ = ["location"]

DAY = 86400


def left(place: str) -> int:
    store = open_store(place)
    with store.open("INBOX") as inbox:
        count = len(inbox.messages)
    store.close()
    return count


def test_the_terms_are_announced() -> None:
    assert "EXPIRE NEVER" in capabilities()
    assert not [line for line in capabilities() if line.startswith("LOGIN-DELAY")]
    found = capabilities(Terms(login_delay=60, expire=30))
    assert {"EXPIRE 30", "LOGIN-DELAY 60"} <= set(found)


def test_with_expire_0_what_was_retrieved_goes_at_quit(location: str) -> None:
    deliver(location, SMALL, SMALL, SMALL)
    with serving(open_store(location), terms=Terms(expire=0)) as sock:
        pop = Pop(sock)
        pop.retr(1)
        pop.top(2, 0)
        pop.quit()
    assert left(location) == 2
    with serving(open_store(location), terms=Terms(expire=0)) as sock:
        Pop(sock).retr(1)
    assert left(location) == 2, "without QUIT nothing goes"


def test_what_was_seen_goes_after_its_days(location: str) -> None:
    deliver(location, SMALL, SMALL)
    store = open_store(location)
    with store.open("INBOX") as inbox:
        inbox.set_flags([inbox.messages[0].uid], "add", SEEN)
    store.close()
    for days, remaining in ((6, 2), (8, 1)):
        later = time.time() + days * DAY
        with serving(open_store(location), terms=Terms(expire=7), clock=lambda later=later: later) as sock:  # type: ignore[misc]
            Pop(sock).quit()
        assert left(location) == remaining, f"after {days} days"


@pytest.mark.parametrize(
    "form, shown", [("UID%u-%v", "UID1-{v}"), ("%08Xv%08Xu", "{v:08X}00000001"), ("%v.%u", "{v}.1")]
)
def test_unique_ids_have_the_form_of_a_former_server(location: str, form: str, shown: str) -> None:
    deliver(location, SMALL)
    store = open_store(location)
    with store.open("INBOX") as inbox:
        validity = inbox.uid_validity
    store.close()
    with serving(open_store(location), uidl_format=form) as sock:
        pop = Pop(sock)
        assert pop.uidl(1).split()[-1].decode() == shown.format(v=validity)
        pop.quit()


@pytest.mark.parametrize("form", ["", "%v", "%x", "%u %v", "100%", "%u\n", "%99u"])
def test_forms_that_make_no_unique_ids(form: str) -> None:
    with pytest.raises(ValueError, match=r"expected|longer"):
        POP3_UIDL_FORMAT.parse(form)


@pytest.mark.parametrize(("text", "days"), [("never", None), ("NEVER", None), ("0", 0), ("30", 30)])
def test_expire_is_never_or_days(text: str, days: int | None) -> None:
    assert POP3_EXPIRE.parse(text) == days


def test_what_courier_wrote_down_goes_first(tmp_path: Path) -> None:
    place, location = tmp_path / "mail", f"maildir:{tmp_path}/mail"
    for part in ("cur", "new", "tmp"):
        (place / part).mkdir(parents=True)
    for name in ("1.a", "2.b", "3.c"):
        (place / "cur" / f"{name}:2,").write_bytes(SMALL)
    (place / "courierpop3dsizelist").write_text("/2 9 1234\n2.b:2, 44 7:1234\n1.a:2, 44 8:1234\n9.gone 44 3:1234\n")
    with serving(open_store(location), uidl_format="%v.%u") as sock:
        pop = Pop(sock)
        lines = [line.split()[1].decode() for line in pop.uidl()[1]]
        pop.quit()
    assert lines[:2] == ["UID7-1234", "UID8-1234"]
    assert "." in lines[2]
    (place / "courierpop3dsizelist").unlink()
    with serving(open_store(location), uidl_format="%v.%u") as sock:
        pop = Pop(sock)
        assert [line.split()[1].decode() for line in pop.uidl()[1]] == lines, "they are written down with us"
        pop.quit()


HEADER = "Subject: grün\nFrom: ä@example.org\n\nbody\n".encode()


def test_a_client_that_has_said_utf8_gets_it_others_get_ascii(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.deliver(HEADER)
        for utf8 in (True, False):
            pop = server.pop()
            if utf8:
                pop.utf8()
            pop.user("ann@example.com")
            pop.pass_("secret")
            for lines in (pop.retr(1)[1], pop.top(1, 1)[1]):
                assert ("grün".encode() in b"".join(lines)) is utf8
                assert b"\n".join(lines).isascii() is not utf8
            pop.quit()


def test_who_logs_in_again_too_soon_is_told_to_wait(tmp_path: Path) -> None:
    with Server(tmp_path, pop3_login_delay="1h") as server:
        pop = server.pop()
        assert pop.capa()["LOGIN-DELAY"] == ["3600"]
        pop.user("ann@example.com")
        pop.pass_("secret")
        pop.quit()
        pop = server.pop()
        pop.user("ann@example.com")
        with pytest.raises(Exception, match=r"LOGIN-DELAY"):
            pop.pass_("secret")
        pop.user("ann@example.com")
        with pytest.raises(Exception, match=r"\[AUTH\]"):
            pop.pass_("wrong")
        pop.quit()


def test_the_parameters_are_what_sessions_get() -> None:
    config = Config.for_tests(pop3_expire="3", pop3_uidl_format="UID%u-%v")
    assert config[POP3_EXPIRE] == 3
    assert config[POP3_UIDL_FORMAT] == "UID%u-%v"
