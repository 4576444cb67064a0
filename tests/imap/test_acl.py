"""ACL (RFC 4314), LIST-MYRIGHTS (RFC 8440) and namespaces in dialogues; what is refused: tests/store/test_shared.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.imapd.session.spaces import Spaces
from pillarbox.lib.config import Config
from pillarbox.lib.store import acl, open_store
from pillarbox.lib.store.quota import QuotaPolicy
from tests.imap.dialogue import MESSAGE, Client, location, run

BOX = "Other Users/ann@example.org/Box"


def client(tmp_path: Path, address: str, **parameters: str) -> Client:
    """A hosted account's session, with its spaces."""
    parameters["virtual_mailbox_base"] = str(tmp_path)
    local, domain = address.split("@")
    place = f"maildir:{tmp_path}/{domain}/{local}"
    connected = Client(place, **parameters)
    config = Config.for_tests(**parameters)
    connected.session.store = Spaces(config, QuotaPolicy(config)).open(open_store(place), address)
    connected.session.username = address
    return connected


async def shared(tmp_path: Path, rights: str, **parameters: str) -> tuple[Client, Client]:
    """Ann, whose mailbox Box with a message is shared, and Bob."""
    ann = client(tmp_path, "ann@example.org", **parameters)
    await ann.ok("CREATE Box")
    await ann.ok("APPEND Box", MESSAGE)
    await ann.ok(f"SETACL Box bob@example.org {rights}")
    return ann, client(tmp_path, "bob@example.org", **parameters)


def test_lists_are_set_told_and_removed(tmp_path: Path) -> None:
    """RFC 4314 sections 3.1 to 3.5, with rights told as Dovecot tells them."""

    async def dialogue() -> None:
        ann, bob = await shared(tmp_path, "lrd")
        (capability,) = await ann.ok("CAPABILITY")
        assert {b"ACL", b"RIGHTS=texk", b"LIST-MYRIGHTS"} <= set(capability.split())
        assert await ann.ok("GETACL Box") == [b"* ACL Box ann@example.org lrswipkxteacd bob@example.org lrted"]
        await ann.ok("SETACL Box bob +c")
        await ann.ok("SETACL Box bob -d")
        await ann.ok("SETACL Box $staff lr")
        await ann.ok("SETACL Box -eve@example.net r")
        await ann.ok("SETACL Box anyone l")
        assert await ann.ok("GETACL Box") == [
            b"* ACL Box ann@example.org lrswipkxteacd $staff lr -eve@example.net r anyone l bob@example.org lrkxc"
        ]
        assert await bob.ok(f'MYRIGHTS "{BOX}"') == [b'* MYRIGHTS "%b" lrkxc' % BOX.encode()]
        await ann.ok("DELETEACL Box bob")
        await ann.ok("DELETEACL Box bob")
        assert await bob.ok(f'MYRIGHTS "{BOX}"') == [b'* MYRIGHTS "%b" l' % BOX.encode()]
        assert await ann.ok("MYRIGHTS Box") == [b"* MYRIGHTS Box lrswipkxteacd"]
        assert await ann.ok("LISTRIGHTS Box bob") == [b'* LISTRIGHTS Box bob "" l r s w i p k x t e a c d']
        assert await ann.ok("LISTRIGHTS Box ann@example.org") == [b"* LISTRIGHTS Box ann@example.org lrswipkxteacd"]
        await ann.ok("SETACL Box bob a")
        (line,) = await bob.ok(f'LISTRIGHTS "{BOX}" ann@example.org')
        assert line.endswith(b" ann@example.org lrswipkxteacd")
        (line,) = await bob.ok(f'GETACL "{BOX}"')
        assert b" ann@example.org lrswipkxteacd " in line
        await ann.close()
        await bob.close()

    run(dialogue())


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("SETACL Box bob lrq", b"BAD"),
        ("SETACL Box bob", b"BAD"),
        ('SETACL Box "" lr', b"BAD"),
        ("GETACL", b"BAD"),
        ("SETACL Box a@b@c lr", b"NO [CANNOT]"),
        ("SETACL Box ann@example.org lr", b"NO [CANNOT]"),
        ("SETACL Nowhere bob lr", b"NO [NONEXISTENT]"),
        ("GETACL Nowhere", b"NO [NONEXISTENT]"),
        ("MYRIGHTS Nowhere", b"NO [NONEXISTENT]"),
        ("LISTRIGHTS Nowhere bob", b"NO [NONEXISTENT]"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, line: str, answer: bytes) -> None:
    async def dialogue() -> None:
        ann, bob = await shared(tmp_path, "lr")
        assert (await ann.command(line))[-1].startswith(answer)
        await ann.close()
        await bob.close()

    run(dialogue())


def test_a_read_only_mailbox_of_another(tmp_path: Path) -> None:
    async def dialogue() -> None:
        ann, bob = await shared(tmp_path, "lr")
        assert await bob.ok("NAMESPACE") == [b'* NAMESPACE (("" "/")) (("Other Users/" "/")) NIL']
        lines = await bob.command(f'SELECT "{BOX}"')
        assert lines[-1].startswith(b"OK [READ-ONLY]") and b"[PERMANENTFLAGS ()]" in b"".join(lines)
        assert b"Seen" not in b"".join(await bob.ok("FETCH 1 (BODY[] FLAGS)"))
        assert (await bob.command("STORE 1 +FLAGS (\\Seen)"))[-1].startswith(b"NO [READ-ONLY]")
        assert (await bob.command("EXPUNGE"))[-1].startswith(b"NO")
        await bob.ok("COPY 1 INBOX")
        assert (await bob.command("MOVE 1 INBOX"))[-1].startswith(b"NO")
        assert (await bob.command(f'APPEND "{BOX}"', MESSAGE))[-1].startswith(b"NO [NOPERM]")
        assert (await bob.command(f'GETACL "{BOX}"'))[-1].startswith(b"NO [NOPERM]")
        assert (await bob.command(f'DELETE "{BOX}"'))[-1].startswith(b"NO [NOPERM]")
        assert await bob.ok("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 1)"]
        await bob.close()
        await ann.close()

    run(dialogue())


def test_flags_by_the_rights_that_there_are(tmp_path: Path) -> None:
    """RFC 4314 section 4: \\Seen alone, no expunge by CLOSE, PERMANENTFLAGS."""

    async def dialogue() -> None:
        ann, bob = await shared(tmp_path, "lrst")
        lines = await bob.command(f'SELECT "{BOX}"')
        assert lines[-1].startswith(b"OK [READ-WRITE]")
        assert b"[PERMANENTFLAGS (\\Seen \\Deleted)]" in b"".join(lines)
        assert b"\\Seen" in b"".join(await bob.ok("FETCH 1 (BODY[] FLAGS)"))
        (line,) = await bob.ok("STORE 1 +FLAGS (\\Deleted \\Flagged)")
        assert b"\\Deleted" in line and b"\\Flagged" not in line
        assert (await bob.command("STORE 1 +FLAGS (\\Flagged)"))[-1].startswith(b"NO [NOPERM]")
        assert (await bob.command("EXPUNGE"))[-1].startswith(b"NO [NOPERM]")
        await bob.ok("CLOSE")
        assert await ann.ok("STATUS Box (MESSAGES DELETED)") == [b"* STATUS Box (MESSAGES 1 DELETED 1)"]
        await bob.close()
        await ann.close()

    run(dialogue())


def test_who_may_mark_nothing_any_more_reads_all_the_same(tmp_path: Path) -> None:
    """RFC 4314 section 4: BODY[] without the right s succeeds."""

    async def dialogue() -> None:
        ann, bob = await shared(tmp_path, "lrs")
        await bob.ok(f'SELECT "{BOX}"')
        await ann.ok("SETACL Box bob@example.org lr")
        lines = await bob.ok("FETCH 1 BODY[]")
        assert MESSAGE in b"".join(lines) and b"Seen" not in b"".join(lines)
        await ann.close()
        await bob.close()

    run(dialogue())


def test_lists_tell_rights(tmp_path: Path) -> None:
    """RFC 8440 section 3."""

    async def dialogue() -> None:
        ann, bob = await shared(tmp_path, "lr")
        lines = await bob.ok('LIST "" "*" RETURN (MYRIGHTS)')
        assert lines == [
            b'* LIST (\\HasNoChildren) "/" INBOX',
            b"* MYRIGHTS INBOX lrswipkxteacd",
            b'* LIST (\\Noselect \\HasChildren) "/" "Other Users"',
            b'* LIST (\\Noselect \\HasChildren) "/" "Other Users/ann@example.org"',
            b'* LIST (\\HasNoChildren) "/" "%b"' % BOX.encode(),
            b'* MYRIGHTS "%b" lr' % BOX.encode(),
        ]
        await bob.close()
        await ann.close()

    run(dialogue())


def test_the_quota_is_its_owners_and_a_message_moves_between_accounts(tmp_path: Path) -> None:
    async def dialogue() -> None:
        ann, bob = await shared(tmp_path, "lrswite")
        (tmp_path / "example.org/ann/maildirsize").write_bytes(b"2C\n0 1\n")
        root = b'"Other Users/ann@example.org: User quota"'
        quota = b"* QUOTA %b (MESSAGE 1 2)" % root
        assert await bob.ok(f'GETQUOTAROOT "{BOX}"') == [b'* QUOTAROOT "%b" %b' % (BOX.encode(), root), quota]
        assert await bob.ok(b"GETQUOTA " + root) == [quota]
        await bob.ok(f'APPEND "{BOX}"', MESSAGE)
        assert (await bob.command(f'APPEND "{BOX}"', MESSAGE))[-1].startswith(b"NO [OVERQUOTA]")
        await bob.ok(f'SELECT "{BOX}"')
        lines = await bob.ok("MOVE 1:2 INBOX")
        assert b"[COPYUID " in lines[0] and lines[1:] == [b"* 2 EXPUNGE", b"* 1 EXPUNGE"]
        await bob.close()
        await ann.close()

    run(dialogue())


def test_annotations_in_a_shared_mailbox(tmp_path: Path) -> None:
    """RFC 5464 section 3.3: what is private is each user's; what all see takes a right."""

    async def dialogue() -> None:
        ann, bob = await shared(tmp_path, "lr")
        await ann.ok('SETMETADATA Box (/private/comment "ann" /shared/comment "all")')
        await bob.ok(f'SETMETADATA "{BOX}" (/private/comment "bob")')
        assert (await bob.command(f'SETMETADATA "{BOX}" (/shared/comment "x")'))[-1].startswith(b"NO [NOPERM]")
        (line,) = await bob.ok(f'GETMETADATA "{BOX}" (/private/comment /shared/comment)')
        assert line.endswith(b'(/private/comment "bob" /shared/comment "all")')
        (line,) = await ann.ok("GETMETADATA (DEPTH infinity) Box /private")
        assert line.endswith(b'(/private/comment "ann")')
        await bob.close()
        await ann.close()

    run(dialogue())


def test_public_mailboxes_have_administrators_and_groups(tmp_path: Path) -> None:
    async def dialogue() -> None:
        parameters = {
            "imap_public_admins": "ann@example.org",
            "imap_acl_groups": "{staff: [bob@example.org]}",
        }
        ann = client(tmp_path, "ann@example.org", **parameters)
        await ann.ok("CREATE Public/News")
        await ann.ok("SETACL Public/News $staff lrp")
        assert await ann.ok("GETACL Public/News") == [b"* ACL Public/News $staff lrp"]
        bob, eve = client(tmp_path, "bob@example.org", **parameters), client(tmp_path, "eve@example.org", **parameters)
        (line,) = await bob.ok("NAMESPACE")
        assert line.endswith(b'(("Other Users/" "/")) (("Public/" "/"))')
        await bob.ok("SELECT Public/News")
        await bob.ok("SUBSCRIBE Public/News")
        assert await bob.ok('LSUB "" "*"') == [b'* LSUB () "/" Public/News']
        assert (await eve.command("SELECT Public/News"))[-1].startswith(b"NO [NONEXISTENT]")
        for each in (ann, bob, eve):
            await each.close()

    run(dialogue())


def test_an_account_that_cannot_share_says_why(tmp_path: Path) -> None:
    async def dialogue() -> None:
        alone = Client(location(tmp_path))
        assert await alone.ok("GETACL INBOX") == [b"* ACL INBOX bob lrswipkxteacd"]
        answer = (await alone.command("SETACL INBOX ann@example.org lr"))[-1]
        assert answer.startswith(b"NO [CANNOT] the mailboxes of this account cannot be shared")
        assert await alone.ok("NAMESPACE") == [b'* NAMESPACE (("" "/")) NIL NIL']
        await alone.close()

    run(dialogue())


HIDDEN = "Other Users/ann@example.org/%s"


@pytest.mark.parametrize(
    "command",
    [
        'SELECT "{}"',
        'EXAMINE "{}"',
        'STATUS "{}" (MESSAGES)',
        'APPEND "{}"',
        'DELETE "{}"',
        'RENAME "{}" Mine',
        'RENAME Mine "{}/Below"',
        'CREATE "{}/Below"',
        'SUBSCRIBE "{}"',
        'GETACL "{}"',
        'MYRIGHTS "{}"',
        'LISTRIGHTS "{}" bob',
        'SETACL "{}" bob lr',
        'DELETEACL "{}" bob',
        'GETQUOTAROOT "{}"',
        'GETMETADATA "{}" /shared/comment',
        'SETMETADATA "{}" (/private/comment "x")',
        'SETMETADATA "{}" (/shared/comment "x")',
        'LIST "" "{}"',
        'LIST "" "{}/%" RETURN (STATUS (MESSAGES) MYRIGHTS)',
        'COPY 1 "{}"',
        'MOVE 1 "{}"',
        'REPLACE 1 "{}"',
        'ESEARCH IN (mailboxes "{}") ALL',
        'NOTIFY SET STATUS (MAILBOXES "{}" (MessageNew MessageExpunge))',
        'APPEND INBOX CATENATE (URL "/{};UIDVALIDITY=1/;UID=1")',
    ],
)
def test_no_answer_tells_a_hidden_mailbox_from_one_that_is_not_there(tmp_path: Path, command: str) -> None:
    """RFC 4314 section 6."""

    async def dialogue() -> None:
        ann, bob = await shared(tmp_path, "lrswipkxtea")
        await ann.ok("CREATE Secret")
        await ann.ok("CREATE Secret/Deep")
        await ann.ok("APPEND Secret", MESSAGE)
        await bob.ok("APPEND INBOX", MESSAGE)
        await bob.ok("CREATE Mine")
        await bob.ok("SELECT INBOX")
        answers = []
        for name in ("Secret", "Nothin", "Secret/Deep", "Nothin/Deep"):
            literal = MESSAGE if command.startswith(("APPEND", "REPLACE")) and "CATENATE" not in command else None
            lines = await bob.command(command.format(HIDDEN % name), literal)
            answers.append([line.replace(name.encode(), b"NAME") for line in lines if b"[CLOSED]" not in line])
        assert answers[0] == answers[1] and answers[2] == answers[3]
        assert await ann.ok("STATUS Secret (MESSAGES)") == [b"* STATUS Secret (MESSAGES 1)"]
        assert await bob.ok("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 1)"]
        await ann.close()
        await bob.close()

    run(dialogue())


# What a command needs in the mailbox that it is about; `@` is that mailbox, which is selected where the first is "+".
MATRIX = [
    ("r", 'SELECT "@"'),
    ("r", 'EXAMINE "@"'),
    ("r", 'STATUS "@" (MESSAGES)'),
    ("r", 'GETQUOTAROOT "@"'),
    ("lr", 'GETMETADATA "@" /shared/comment'),
    ("lr", 'SETMETADATA "@" (/private/comment "x")'),
    ("lrw", 'SETMETADATA "@" (/shared/comment "x")'),
    ("l", 'SUBSCRIBE "@"'),
    ("i", 'APPEND "@"'),
    ("k", 'CREATE "@/New"'),
    ("x", 'DELETE "@"'),
    ("a", 'GETACL "@"'),
    ("a", 'LISTRIGHTS "@" bob'),
    ("a", 'SETACL "@" eve lr'),
    ("a", 'DELETEACL "@" eve'),
    ("+r", "FETCH 1 (ENVELOPE BODY.PEEK[])"),
    ("+r", "SEARCH TEXT Hello"),
    ("+r", "COPY 1 INBOX"),
    ("+rs", "STORE 1 +FLAGS (\\Seen)"),
    ("+rw", "STORE 1 +FLAGS (\\Flagged $Label)"),
    ("+rt", "STORE 1 +FLAGS (\\Deleted)"),
    ("+re", "EXPUNGE"),
    ("+re", "UID EXPUNGE 1"),
    ("+rte", "MOVE 1 INBOX"),
    ("+ri", 'COPY 1 "@"'),
    ("+rite", 'REPLACE 1 "@"'),
]


@pytest.mark.parametrize(("needed", "command"), MATRIX)
def test_each_command_asks_for_its_rights(tmp_path: Path, needed: str, command: str) -> None:
    """RFC 4314 section 4: with these rights (and to see the mailbox) it is done, and without any of them it is not."""

    async def dialogue() -> None:
        select, rights = needed.startswith("+"), needed.lstrip("+")
        literal = MESSAGE if command.startswith(("APPEND", "REPLACE")) else None
        given = rights if "l" in rights else f"l{rights}"
        ann, bob = await shared(tmp_path, given)
        for lacking in (*rights, ""):
            await ann.ok(f'SETACL Box bob "{given.replace(lacking, "") if lacking else given}"')
            if select and lacking == "r":
                continue
            if select:
                await bob.ok(f'SELECT "{BOX}"')
            last = (await bob.command(command.replace("@", BOX), literal))[-1]
            assert last.startswith(b"NO [" if lacking else b"OK"), f"without {lacking or 'nothing'}: {last!r}"
        await ann.close()
        await bob.close()

    run(dialogue())


@given(st.binary(max_size=200))
def test_any_text_beside_a_mailbox_is_read(note: bytes) -> None:
    entries = acl.parse(note)
    assert acl.parse(acl.serialize(entries)) == entries


@pytest.mark.parametrize("line", ["user=anyone lr", "user=$staff lr", "user=-bob@example.org lr", "group= lr", "lr"])
def test_no_user_stands_for_others(line: str) -> None:
    assert acl.parse(line.encode()) == {}


@given(st.text(max_size=40))
def test_identifiers_have_one_spelling(text: str) -> None:
    try:
        once = acl.identifier(text, "example.org")
    except acl.BadIdentifier:
        return
    assert acl.identifier(once, "other.example") == once
    assert acl.parse(acl.serialize({once: "lr"})) == {once: "lr"}
