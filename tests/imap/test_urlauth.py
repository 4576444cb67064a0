"""URLAUTH (RFC 4467, RFC 5524): the sessions of three accounts on one server, each with its own login."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.imapd.commands import urlfetch
from pillarbox.lib.store import open_store
from tests.auth.service import Running
from tests.imap.dialogue import Client as Dialogue
from tests.imap.dialogue import location, run
from tests.imap.server import Server

ANN, BOB, SUBMIT = "ann@example.com", "bob@example.com", "submit@example.com"
HOST = "mail.example.com"
LAST = b"Si vis pacem, para bellum.\r\n"
MESSAGE = (
    b"Subject: peace\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n"
    b"--o\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\n\r\nfirst\r\n--b\r\n\r\n" + LAST + b"\r\n--b--\r\n\r\n--o--\r\n"
)


class Accounts(Server):
    """With two accounts more."""

    async def _serve(self, running: Running) -> None:
        for address in (BOB, SUBMIT):
            running.database.add(address, "secret")
        await super()._serve(running)


class Client:
    """One session."""

    def __init__(self, server: Server, address: str) -> None:
        self._socket = server.connect()
        self._file = self._socket.makefile("rb")
        self._tags = 0
        self._file.readline()
        self.ok(f"LOGIN {address} secret")

    def command(self, text: str, literal: bytes = b"") -> list[bytes]:
        """The lines of the answer with their literals, the tag cut off."""
        self._tags += 1
        tag = b"t%d " % self._tags
        rest = b" {%d+}\r\n%b" % (len(literal), literal) if literal else b""
        self._socket.sendall(tag + text.encode() + rest + b"\r\n")
        lines: list[bytes] = []
        while not lines or not lines[-1].startswith(tag):
            line = self._file.readline()
            assert line, "the server closed the connection"
            while found := re.search(rb"\{(\d+)\}\r\n$", line):
                line += self._file.read(int(found[1])) + self._file.readline()
            lines.append(line.removesuffix(b"\r\n"))
        return [*lines[:-1], lines[-1].removeprefix(tag)]

    def ok(self, text: str, literal: bytes = b"") -> list[bytes]:
        *lines, last = self.command(text, literal)
        assert last.startswith(b"OK"), f"{text}: {last!r}"
        return lines

    def authorize(self, rump: str) -> str:
        """The URL with its token."""
        (line,) = self.ok(f'GENURLAUTH "{rump}" INTERNAL')
        found = re.fullmatch(r'\* GENURLAUTH "(.+:internal:01[0-9a-f]{64})"', line.decode())
        assert found is not None and found[1].startswith(rump), line
        return found[1]

    def fetch(self, url: str) -> bytes | None:
        """What the URL names."""
        (line,) = self.ok(f'URLFETCH "{url}"')
        start = b'* URLFETCH "%b" ' % url.encode()
        assert line.startswith(start)
        rest = line.removeprefix(start)
        return None if rest == b"NIL" else rest.partition(b"}\r\n")[2]

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("urlauth")
    with Accounts(folder, imap_urlauth_submit_user=SUBMIT, virtual_mailbox_base=str(folder / "mail")) as running:
        running.deliver(MESSAGE)
        yield running


@pytest.fixture(scope="module")
def sessions(server: Server) -> Iterator[dict[str, Client]]:
    made = {address.partition("@")[0]: Client(server, address) for address in (ANN, BOB, SUBMIT)}
    yield made
    for each in made.values():
        each.close()


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urlfetch, "DELAY_LIMIT", 0.0)


@pytest.fixture
def ann(sessions: dict[str, Client]) -> Client:
    return sessions["ann"]


@pytest.fixture
def bob(sessions: dict[str, Client]) -> Client:
    return sessions["bob"]


@pytest.fixture
def submit(sessions: dict[str, Client]) -> Client:
    return sessions["submit"]


def rump(access: str, mailbox: str = "INBOX", message: str = ";uid=1", user: str = ANN) -> str:
    return f"imap://{user.replace('@', '%40')}@{HOST}/{mailbox}/{message};urlauth={access}"


def box(ann: Client, name: str) -> str:
    """A mailbox of Ann's with one message."""
    ann.ok(f"CREATE {name}")
    ann.ok(f"APPEND {name}", MESSAGE)
    return name


def test_the_dialogue_of_rfc_4467(ann: Client, submit: Client) -> None:
    assert b"URLAUTH" in ann.ok("CAPABILITY")[0].split()
    url = f"imap://ann%40example.com@{HOST}/INBOX/;uid=1/;section=1.2"
    answer = ann.command(f'GENURLAUTH "{url}" INTERNAL')
    assert answer == [b"BAD Error in IMAP command GENURLAUTH: missing access identifier in supplied URL"]
    answer = ann.command(f'GENURLAUTH "imap://{HOST}/Shared/;uid=20/;section=1.2;urlauth=submit+fred" INTERNAL')
    assert answer == [b"BAD Error in IMAP command GENURLAUTH: missing owner username in supplied URL"]
    authorized = ann.authorize(f"{url};urlauth=submit+ann%40example.com")
    assert submit.ok(f'URLFETCH "{authorized}"') == [b'* URLFETCH "%b" {28}\r\n%b' % (authorized.encode(), LAST)]
    assert ann.command("RESETKEY")[-1] == b"OK All keys removed."
    assert ann.command("RESETKEY INBOX")[-1].startswith(b"OK [URLMECH INTERNAL] ")
    assert ann.command("RESETKEY INBOX INTERNAL")[-1].startswith(b"OK [URLMECH INTERNAL] ")
    assert ann.command("RESETKEY INBOX XSAMPLE")[-1].startswith(b"NO")
    assert submit.fetch(authorized) is None


@pytest.mark.parametrize("command", ["SELECT", "EXAMINE"])
def test_the_mechanisms_are_told_when_a_mailbox_is_selected(ann: Client, command: str) -> None:
    assert any(line.startswith(b"* OK [URLMECH INTERNAL] ") for line in ann.ok(f"{command} INBOX"))
    ann.ok("UNSELECT")


def test_several_urls_are_answered_each(ann: Client, bob: Client) -> None:
    one, two = rump("anonymous"), rump("authuser", message=";uid=1/;section=1.1")
    (line,) = ann.ok(f'GENURLAUTH "{one}" INTERNAL "{two}" INTERNAL')
    first, second = re.findall(rb'"(.*?)"', line)
    answer = bob.ok(f'URLFETCH "{first.decode()}" "imap://nonsense" "{second.decode()}"')
    assert answer == [
        b'* URLFETCH "%b" {%d}\r\n%b' % (first, len(MESSAGE), MESSAGE),
        b'* URLFETCH "imap://nonsense" NIL',
        b'* URLFETCH "%b" {5}\r\nfirst' % second,
    ]


@pytest.mark.parametrize(
    ("access", "who"),
    [
        ("anonymous", {"ann", "bob", "submit"}),
        ("authuser", {"ann", "bob", "submit"}),
        ("user+bob%40example.com", {"bob"}),
        ("user+Bob@Example.com", {"bob"}),
        ("user+ann%40example.com", {"ann"}),
        ("user+bob", set()),
        ("submit+bob%40example.com", {"submit"}),
        ("submit+nobody", {"submit"}),
    ],
)
def test_the_access_identifier_says_who(sessions: dict[str, Client], access: str, who: set[str]) -> None:
    url = sessions["ann"].authorize(rump(access))
    assert {name for name, session in sessions.items() if session.fetch(url) == MESSAGE} == who


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (";uid=1", MESSAGE),
        (";uid=1/;section=HEADER", MESSAGE[: MESSAGE.index(b"--o")]),
        (";uid=1/;section=1.2/;partial=3.6", LAST[3:9]),
        (";uid=1/;partial=10000", b""),
        (";uid=1/;section=HEADER.FIELDS%20(subject)", b"Subject: peace\r\n\r\n"),
        (";uid=1/;section=9", None),
        (";uid=1/;section=nonsense", None),
        (";uid=77", None),
    ],
)
def test_messages_and_parts(ann: Client, bob: Client, message: str, expected: bytes | None) -> None:
    assert bob.fetch(ann.authorize(rump("anonymous", message=message))) == expected


def test_uidvalidity(ann: Client, bob: Client) -> None:
    (line,) = ann.ok("STATUS INBOX (UIDVALIDITY)")
    validity = int(re.findall(rb"\d+", line)[0])
    for number, expected in ((validity, MESSAGE), (validity + 1, None)):
        url = ann.authorize(
            f"imap://{ANN}@{HOST}/INBOX;uidvalidity={number}/;uid=1;urlauth=anonymous".replace(ANN, "ann%40example.com")
        )
        assert bob.fetch(url) == expected


def test_a_url_works_without_regard_to_what_is_selected(ann: Client, bob: Client) -> None:
    url = ann.authorize(rump("anonymous"))
    bob.ok("SELECT INBOX")
    assert bob.fetch(url) == MESSAGE
    assert b"* 0 EXISTS" in bob.ok("SELECT INBOX")
    bob.ok("UNSELECT")


def test_no_part_of_a_url_can_be_changed(ann: Client, bob: Client) -> None:
    ann.ok("APPEND INBOX", MESSAGE)
    box(ann, "Other")
    ann.authorize(rump("anonymous", "Other"))
    rump_ = f"imap://ann%40example.com@{HOST}/INBOX/;uid=1/;section=1.2/;partial=0.10;expire=2999-01-01T00:00:00Z;urlauth=user+bob%40example.com"
    url = ann.authorize(rump_)
    assert bob.fetch(url) == LAST[:10]
    token = url.rpartition(":")[2]
    for old, new in (
        ("imap:", "IMAP:"),
        ("ann%40", "bob%40"),
        ("ann%40", "Ann%40"),
        ("ann%40", "an%6e%40"),
        ("ann%40", "nobody%40"),
        (f"ann%40example.com@{HOST}", HOST),
        (HOST, "other.example.com"),
        (HOST, HOST.upper()),
        ("INBOX", "Other"),
        ("INBOX", "inbox"),
        ("INBOX", "Nowhere"),
        ("uid=1/", "uid=2/"),
        ("uid=1/", "UID=1/"),
        ("section=1.2", "section=1.1"),
        ("/;section=1.2", ""),
        ("/;partial=0.10", ""),
        ("0.10", "0.1"),
        ("2999", "2998"),
        (";expire=2999-01-01T00:00:00Z", ""),
        ("user+bob%40example.com", "anonymous"),
        ("user+bob%40example.com", "authuser"),
        ("user+bob%40example.com", "user+bob@example.com"),
        (":internal:", ":external:"),
        (token, token[:-2] + ("00" if token[-2:] != "00" else "11")),
        (token, "02" + token[2:]),
        (token, token[:-2]),
        (token, token + "00"),
        (f":internal:{token}", ""),
    ):
        changed = url.replace(old, new, 1)
        assert changed != url
        assert bob.ok(f'URLFETCH "{changed}"') == [b'* URLFETCH "%b" NIL' % changed.encode()], changed
    assert bob.fetch(url.replace(token, token.upper())) == LAST[:10]


def test_what_has_expired_is_refused(ann: Client, bob: Client) -> None:
    for year, expected in ((2001, None), (2999, MESSAGE)):
        url = ann.authorize(f"{rump('anonymous')}".replace(";urlauth", f";expire={year}-01-01T00:00:00Z;urlauth"))
        assert bob.fetch(url) == expected


def test_resetkey_revokes_for_one_mailbox_or_for_all(ann: Client, bob: Client) -> None:
    urls = [ann.authorize(rump("anonymous", name)) for name in ("INBOX", box(ann, "Reset"))]
    ann.ok("RESETKEY Reset")
    assert [bob.fetch(url) for url in urls] == [MESSAGE, None]
    again = ann.authorize(rump("anonymous", "Reset"))
    assert again != urls[1] and bob.fetch(again) == MESSAGE
    ann.ok("RESETKEY")
    assert [bob.fetch(url) for url in (*urls, again)] == [None, None, None]
    assert ann.command("RESETKEY Nowhere")[-1].startswith(b"NO")


def test_a_mailbox_made_anew_or_renamed_is_another_url(ann: Client, bob: Client) -> None:
    url = ann.authorize(rump("anonymous", box(ann, "Gone")))
    ann.ok("RENAME Gone Moved")
    assert bob.fetch(url) is None
    box(ann, "Gone")
    assert bob.fetch(url) is None
    ann.authorize(rump("anonymous", "Gone"))
    assert bob.fetch(url) is None
    ann.ok("DELETE Gone")
    ann.ok("RENAME Moved Gone")
    assert bob.fetch(url) == MESSAGE
    ann.ok("DELETE Gone")
    box(ann, "Gone")
    assert bob.fetch(url) is None


@pytest.mark.parametrize(
    "url",
    [
        rump("anonymous", user=BOB),
        rump("anonymous", user="nobody@example.com"),
        rump("anonymous", "Nowhere"),
        rump("anonymous", "a%00b"),
        rump("anonymous", message=""),
        rump("anonymous") + ":internal:" + "ab" * 33,
        rump("nonsense"),
        "/INBOX/;uid=1;urlauth=anonymous",
        "imap:///INBOX/;uid=1;urlauth=anonymous",
    ],
)
def test_what_cannot_be_authorized_is_bad(ann: Client, url: str) -> None:
    assert ann.command(f'GENURLAUTH "{url}" INTERNAL')[-1].startswith(b"BAD")
    assert bob_sees_nothing(ann, url)


def bob_sees_nothing(session: Client, url: str) -> bool:
    return session.fetch(url) is None


def test_other_mechanisms_and_no_arguments_are_bad(ann: Client) -> None:
    for command in (
        "GENURLAUTH",
        f'GENURLAUTH "{rump("anonymous")}"',
        f'GENURLAUTH "{rump("anonymous")}" XSAMPLE',
        f'GENURLAUTH "{rump("anonymous")}" INTERNAL x',
        "URLFETCH",
        "URLFETCH (",
    ):
        assert ann.command(command)[-1].startswith(b"BAD"), command
        ann.ok("NOOP")


def test_the_url_has_the_rights_that_its_user_has_now(ann: Client, bob: Client, submit: Client) -> None:
    box(ann, "Shared")
    ann.ok("SETACL Shared bob@example.com lr")
    url = bob.authorize(rump("anonymous", "Other%20Users/ann@example.com/Shared", user=BOB))
    assert [session.fetch(url) for session in (ann, bob, submit)] == [MESSAGE] * 3
    assert bob.fetch(ann.authorize(rump("anonymous", "Shared"))) == MESSAGE
    ann.ok("DELETEACL Shared bob@example.com")
    assert [session.fetch(url) for session in (ann, bob, submit)] == [None] * 3
    assert bob.command(f'GENURLAUTH "{url.partition(":internal")[0]}" INTERNAL')[-1].startswith(b"BAD")


def test_keys_are_no_annotations(ann: Client, server: Server) -> None:
    ann.authorize(rump("anonymous"))
    assert not any(b"urlauth" in line for line in ann.ok("GETMETADATA (DEPTH infinity) INBOX (/shared /private)"))
    assert not any(b"urlauth" in line for line in ann.ok('GETMETADATA (DEPTH infinity) "" (/shared /private)'))
    notes = list((server.folder / "mail/example.com/ann").glob("*urlauth"))
    assert len(notes) == 2 and all(note.stat().st_mode & 0o077 == 0 for note in notes)


def test_bad_urls_cost_more_and_more_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dialogue() -> None:
        waited: list[float] = []

        async def sleep(seconds: float) -> None:
            waited.append(seconds)

        client = Dialogue(location(tmp_path))
        monkeypatch.setattr(urlfetch, "DELAY_LIMIT", 0.5)
        monkeypatch.setattr("pillarbox.imapd.commands.urlfetch.asyncio.sleep", sleep)
        for _ in range(urlfetch.FREE_FAILURES):
            await client.ok("URLFETCH imap://x")
        await client.ok("URLFETCH imap://x imap://y")
        await client.ok("URLFETCH " + " ".join(["imap://x"] * 10))
        assert [round(seconds, 3) for seconds in waited if seconds] == [0.2, 0.5]
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("kind", ["maildir", "mbox", "sqlite"])
def test_an_account_of_the_system_has_urls_of_its_own_only(tmp_path: Path, kind: str) -> None:
    async def dialogue() -> None:
        client = Dialogue(f"{kind}:{tmp_path}/mail")
        await client.ok("APPEND INBOX", MESSAGE)
        (line,) = await client.ok(f'GENURLAUTH "imap://bob@{HOST}/INBOX/;uid=1;urlauth=user+bob" INTERNAL')
        url = line.split(b'"')[1]
        assert await client.ok(b'URLFETCH "%b"' % url) == [b'* URLFETCH "%b" {%d}\r\n%b' % (url, len(MESSAGE), MESSAGE)]
        other = url.replace(b"bob@", b"ann@")
        assert await client.ok(b'URLFETCH "%b"' % other) == [b'* URLFETCH "%b" NIL' % other]
        await client.close()

    run(dialogue())


def test_the_host_can_be_said_and_all_of_it_be_switched_off(tmp_path: Path) -> None:
    async def dialogue() -> None:
        named = Dialogue(location(tmp_path), imap_urlauth_host=HOST)
        for host, answer in (
            (HOST, b"OK"),
            (f"{HOST.upper()}:143", b"OK"),
            ("other.example.com", b"BAD"),
            (f"{HOST}:1143", b"BAD"),
        ):
            lines = await named.command(f'GENURLAUTH "imap://bob@{host}/INBOX/;uid=1;urlauth=anonymous" INTERNAL')
            assert lines[-1].startswith(answer), host
        await named.close()
        off = Dialogue(location(tmp_path), imap_urlauth_host="")
        (line,) = await off.ok("CAPABILITY")
        assert b"URLAUTH" not in line
        assert not any(b"URLMECH" in each for each in await off.ok("SELECT INBOX"))
        for command in (f'GENURLAUTH "{rump("anonymous")}" INTERNAL', "URLFETCH x", "RESETKEY", "RESETKEY INBOX"):
            assert (await off.command(command))[-1].startswith(b"BAD")
        await off.close()

    run(dialogue())


def test_a_message_that_cannot_be_read_is_nil_and_the_session_lives(ann: Client, bob: Client, server: Server) -> None:
    box(ann, "Broken")
    url = ann.authorize(rump("anonymous", "Broken"))
    assert bob.fetch(url) == MESSAGE
    store = open_store(f"maildir:{server.folder}/mail/example.com/ann")
    with store.open("Broken") as mailbox:
        mailbox.expunge(mailbox.messages.uids)
    store.close()
    assert bob.fetch(url) is None
    bob.ok("NOOP")


# --- RFC 5524
IMAGE = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\nAwQF\r\n"
    b"--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=\r\nb=C3=A4\r\nc\r\n"
    b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: x-blurdybloop\r\n\r\nxyz\r\n--b--\r\n"
)
PNG = b'("image" "png" NIL NIL NIL "%b" %d NIL NIL NIL NIL)'
QP = b'("text" "plain" ("charset" "us-ascii") NIL NIL "%b" %d %d NIL NIL NIL NIL)'


@pytest.mark.parametrize(
    ("section", "parameters", "expected"),
    [
        ("1", "BODYPARTSTRUCTURE", b"(BODYPARTSTRUCTURE %b)" % (PNG % (b"base64", 10))),
        ("1", "BODY", b"(BODY {10}\r\nAAEC\r\nAwQF)"),
        ("1", "binary", b"(BINARY ~{6}\r\n\0\1\2\3\4\5)"),
        (
            "1",
            "BODYPARTSTRUCTURE BINARY",
            b"(BODYPARTSTRUCTURE %b) (BINARY ~{6}\r\n\0\1\2\3\4\5)" % (PNG % (b"binary", 6)),
        ),
        ("1/;partial=1.2", "BINARY", b"(BINARY {2}\r\n\1\2)"),
        ("1/;partial=0.2", "BODY", b"(BODY {2}\r\nAA)"),
        (
            "2",
            "BINARY BODYPARTSTRUCTURE",
            b"(BINARY {7}\r\nab\xc3\xa4\r\nc) (BODYPARTSTRUCTURE %b)" % (QP % (b"binary", 7, 1)),
        ),
        (
            "2",
            "BODYPARTSTRUCTURE BODY",
            b"(BODYPARTSTRUCTURE %b) (BODY {14}\r\na=\r\nb=C3=A4\r\nc)" % (QP % (b"quoted-printable", 14, 2)),
        ),
        ("3", "BODYPARTSTRUCTURE BINARY", b"(BODYPARTSTRUCTURE %b) (BINARY NIL)" % (PNG % (b"x-blurdybloop", 3))),
        (
            "3.MIME",
            "BINARY",
            b"(BINARY {69}\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: x-blurdybloop\r\n\r\n)",
        ),
        ("TEXT", "BINARY", b"(BINARY NIL)"),
        ("9", "BINARY", b"NIL"),
        ("9", "BODYPARTSTRUCTURE", b"NIL"),
        ("1.TEXT", "BINARY", b"NIL"),
        ("1", "", b"{10}\r\nAAEC\r\nAwQF"),
    ],
)
def test_binary_parts_and_their_structure(
    ann: Client, bob: Client, section: str, parameters: str, expected: bytes
) -> None:
    if not any(b"* LIST" in line for line in ann.ok('LIST "" Images')):
        ann.ok("CREATE Images")
        ann.ok("APPEND Images", IMAGE)
    assert b"URLAUTH=BINARY" in ann.ok("CAPABILITY")[0].split()
    url = ann.authorize(rump("anonymous", "Images", f";uid=1/;section={section}"))
    argument = f'("{url}" {parameters})' if parameters else f'("{url}")'
    assert bob.ok(f"URLFETCH {argument}") == [b'* URLFETCH "%b" %b' % (url.encode(), expected)]


def test_extended_and_simple_urls_in_one_command(ann: Client, bob: Client) -> None:
    url = ann.authorize(rump("anonymous", message=";uid=1/;section=1.1"))
    answer = bob.ok(f'URLFETCH "{url}" ("{url}" BODY) ("imap://x" BINARY BODYPARTSTRUCTURE) ("{url}")')
    start = b'* URLFETCH "%b" ' % url.encode()
    first = b"{5}\r\nfirst"
    assert answer == [start + first, start + b"(BODY %b)" % first, b'* URLFETCH "imap://x" NIL', start + first]


@pytest.mark.parametrize(
    "arguments",
    ["()", '("x" BODY BINARY)', '("x" BODY BODY)', '("x" TEXT)', '("x" )', '("x"', '("x" BODY', '("x"BODY)'],
)
def test_wrong_parameters_are_bad(ann: Client, arguments: str) -> None:
    assert ann.command(f"URLFETCH {arguments}")[-1].startswith(b"BAD")
    ann.ok("NOOP")
