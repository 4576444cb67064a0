"""Two front ends over one PostgreSQL database, as docs/database-stores.md says it: TLS, a password in a file, sessions
and deliveries on both, the server away and back again, more sessions than there are connections."""

from __future__ import annotations

import contextlib
import imaplib
import os
import poplib
import pwd
import re
import shutil
import smtplib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.lab.instance import Instance
from tests.peers.databases import PostgreSQL

ANN, BOB = "ann@example.org", "bob@example.org"
PASSWORD = "of the database ü'\\ x"


class Nodes:
    """The database server, and two instances that know the same accounts."""

    def __init__(self, server: PostgreSQL, folder: Path, authority: Authority) -> None:
        self.server = server
        server.execute(
            f"CREATE ROLE box LOGIN PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'",
            "CREATE DATABASE mail",
            "GRANT CREATE ON DATABASE mail TO box",
        )
        self.ca, self.passfile = folder / "db.pem", folder / "db.password"
        shutil.copyfile(authority.certificate, self.ca)
        self.ca.chmod(0o644)
        self.passfile.touch(mode=0o600)
        self.passfile.write_text(f"{PASSWORD}\n")
        uri = f"postgresql://box@localhost:{server.port}/mail?sslmode=verify-full&sslrootcert={self.ca}"
        settings = {
            "mail_location": f"pgsql:{uri}&passfile={self.passfile}&cache=%h/cache#%u",
            "imap_idle_check_interval": "1h",
        }
        self.here, self.there = (Instance(users={ANN: "secret", BOB: "secret"}, settings=settings) for _ in range(2))

    def start(self) -> None:
        for node in (self.here, self.there):
            node.init()
        self.before = self.here.run(["pillarbox", "check"])
        owner = self.here.run(["postconf", "-h", "vmail_owner"]).stdout.strip().partition(":")[0]
        if os.geteuid() == 0:
            os.chown(self.passfile, int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid, -1)
        self.after = self.here.run(["pillarbox", "check"])
        for node in (self.here, self.there):
            node.start()

    def close(self) -> None:
        self.here.close()
        self.there.close()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    folder = Path(tempfile.mkdtemp(prefix="nodes-"))
    folder.chmod(0o755)
    authority = Authority(folder)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        server = stack.enter_context(PostgreSQL(authority.issue("localhost")))
        made = Nodes(server, folder, authority)
        stack.callback(made.close)
        made.start()
        yield made
        for node in (made.here, made.there):
            node.show_log()


def deliver(node: Instance, address: str, subject: str) -> None:
    with smtplib.LMTP(node.address, node.port("lmtp"), timeout=30) as client:
        text = f"From: s@example.com\r\nSubject: {subject}\r\n\r\nbody\r\n"
        assert client.sendmail("s@example.com", [address], text) == {}


def session(node: Instance, address: str) -> imaplib.IMAP4:
    client = imaplib.IMAP4(node.address, node.port("imap"), timeout=60)
    client.login(address, "secret")
    return client


def count(client: imaplib.IMAP4) -> int:
    client.noop()
    return int(client.select()[1][0] or 0)


def line_of(client: imaplib.IMAP4, wanted: bytes) -> bytes:
    """The next line with this in it."""
    while True:
        line = client.readline()
        assert line, "the session has ended"
        if wanted in line:
            return line


def test_check_says_that_the_password_cannot_be_read(nodes: Nodes) -> None:
    if os.geteuid() != 0:
        pytest.skip("only where mail has an owner of its own")
    said = nodes.before.stdout + nodes.before.stderr
    assert nodes.before.returncode != 0 and re.search(rf"mail_location: .*{nodes.passfile}.* vmail_owner", said), said
    assert nodes.after.returncode == 0, nodes.after.stdout


def test_what_one_node_stores_the_other_shows_the_same(nodes: Nodes) -> None:
    deliver(nodes.here, ANN, "one")
    deliver(nodes.there, ANN, "two")
    for node in (nodes.here, nodes.there):
        node_sees = session(node, ANN)
        node.wait_for(lambda node_sees=node_sees: count(node_sees) == 2)  # type: ignore[misc]
        node_sees.logout()
    one, two = session(nodes.here, ANN), session(nodes.there, ANN)
    for client in (one, two):
        client.select()
    told = [client.fetch("1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE)")[1] for client in (one, two)]
    assert told[0] == told[1]
    assert one.untagged_responses.get("UIDVALIDITY") == two.untagged_responses.get("UIDVALIDITY")
    with contextlib.closing(poplib.POP3(nodes.there.address, nodes.there.port("pop3"), timeout=30)) as box:
        box.user(ANN)
        box.pass_("secret")
        assert len(box.list()[1]) == 2
        box.quit()
    for client in (one, two):
        client.logout()


def test_idle_on_one_node_hears_what_happens_on_the_other(nodes: Nodes) -> None:
    waiting, busy = session(nodes.there, BOB), session(nodes.here, BOB)
    waiting.select()
    busy.select()
    waiting.send(b"i IDLE\r\n")
    line_of(waiting, b"+ ")
    deliver(nodes.here, BOB, "wake up")
    assert line_of(waiting, b"EXISTS") == b"* 1 EXISTS\r\n"
    nodes.here.wait_for(lambda: count(busy) == 1)
    busy.store("1", "+FLAGS", "\\Flagged")
    assert b"\\Flagged" in line_of(waiting, b"FETCH")
    busy.store("1", "+FLAGS", "\\Deleted")
    busy.expunge()
    assert line_of(waiting, b"EXPUNGE") == b"* 1 EXPUNGE\r\n"
    waiting.send(b"DONE\r\n")
    line_of(waiting, b"i OK")
    for client in (waiting, busy):
        client.logout()


def test_more_sessions_than_connections_share_them(nodes: Nodes) -> None:
    deliver(nodes.here, BOB, "for all")
    clients = [session(node, BOB) for node in (nodes.here, nodes.there) for _ in range(12)]
    for client in clients:
        client.select()
    for client in clients:
        client.send(b"f FETCH 1:* (FLAGS BODY.PEEK[])\r\n")
    for client in clients:
        line_of(client, b"f OK")
    processes = sum(len(imap_processes(node)) for node in (nodes.here, nodes.there))
    used = connections(nodes)
    assert 0 < used <= 6 * processes + 2 * 5, "four each and two more; virtual, pop3 and quota beside"
    for client in clients:
        client.logout()


def imap_processes(node: Instance) -> set[str]:
    return {match[1] for line in node.log_lines() if (match := re.search(r"pillarbox/imap\[(\d+)\]", line))}


def connections(nodes: Nodes) -> int:
    import pg8000.native

    with pg8000.native.Connection(
        nodes.server.user, unix_sock=str(nodes.server.socket), password=nodes.server.password, database="postgres"
    ) as own:
        return int(own.run("SELECT count(*) FROM pg_stat_activity WHERE usename = 'box'")[0][0])


def answer(call: Callable[[], tuple[str, list[object]]]) -> str:
    status, (text, *_) = call()
    return f"{status} {text.decode() if isinstance(text, bytes) else text}"


def test_a_server_that_ends_and_comes_back(nodes: Nodes) -> None:
    one, two = session(nodes.here, ANN), session(nodes.there, ANN)
    before = count(one)
    assert count(two) == before
    two.send(b"i IDLE\r\n")
    line_of(two, b"+ ")
    nodes.server.kill()
    text = b"Subject: lost\r\n\r\nx\r\n"
    for call in (
        lambda: one.status("INBOX", "(MESSAGES)"),
        lambda: one.append("INBOX", None, None, text),  # type: ignore[arg-type]
        lambda: one.fetch("1", "(BODY.PEEK[])"),
        lambda: one.store("1", "+FLAGS", "\\Seen"),
        lambda: one.create("New"),
        lambda: one.select("INBOX"),
    ):
        assert answer(call).startswith("NO [UNAVAILABLE]"), answer(call)
    assert one.noop()[0] in ("OK", "NO")
    deliver(nodes.there, ANN, "while it was away")
    nodes.there.wait_for(lambda: nodes.there.log_matching(f"to=<{ANN}>.*status=deferred .*database server"))
    nodes.server.start()
    nodes.here.wait_for(lambda: one.select("INBOX")[0] == "OK")
    assert one.append("INBOX", None, None, text)[0] == "OK"  # type: ignore[arg-type]
    assert f"* {before + 1} EXISTS\r\n".encode() == line_of(two, b"EXISTS"), "who idles is told again"
    nodes.there.run(["postqueue", "-f"], check=True)
    nodes.here.wait_for(lambda: count(one) == before + 2)
    two.send(b"DONE\r\n")
    line_of(two, b"i OK")
    for client in (one, two):
        client.logout()


def test_a_transaction_left_open_holds_up_one_account_only(nodes: Nodes) -> None:
    import pg8000.native

    deliver(nodes.here, BOB, "more")
    ann, bob = session(nodes.here, ANN), session(nodes.here, BOB)
    nodes.here.wait_for(lambda: count(bob) > 0)
    count(ann)
    with pg8000.native.Connection(
        nodes.server.user, unix_sock=str(nodes.server.socket), password=nodes.server.password, database="mail"
    ) as forgotten:
        forgotten.run("BEGIN")
        forgotten.run("SELECT 1 FROM pillarbox.accounts WHERE account = :a FOR UPDATE", a=ANN)
        ann.send(b"s STORE 1 +FLAGS (\\Answered)\r\n")
        for _ in range(3):
            assert bob.store("1", "+FLAGS", "\\Seen")[0] == bob.store("1", "-FLAGS", "\\Seen")[0] == "OK"
        forgotten.run("ROLLBACK")
    line_of(ann, b"s OK")
    for client in (ann, bob):
        client.logout()
