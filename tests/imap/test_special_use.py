"""SPECIAL-USE and CREATE-SPECIAL-USE (RFC 6154), and what LIST-EXTENDED tells of parents."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imap.dialogue import Client, location, run


def test_a_mailbox_is_made_with_its_purpose(tmp_path: Path) -> None:
    """RFC 6154 section 5.4."""

    async def dialogue() -> None:
        client = Client(location(tmp_path))
        (capability,) = await client.ok("CAPABILITY")
        assert b"CREATE-SPECIAL-USE" in capability
        await client.ok("CREATE MySpecial (USE (\\drafts \\Sent))")
        assert await client.ok("GETMETADATA MySpecial /private/specialuse") == [
            b'* METADATA MySpecial (/private/specialuse "\\\\Drafts \\\\Sent")'
        ]
        assert await client.ok('LIST (SPECIAL-USE) "" "*"') == [
            b'* LIST (\\HasNoChildren \\Drafts \\Sent) "/" MySpecial'
        ]
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("use", ["\\All", "\\Flagged", "\\Important", "\\Sent \\Nonsense"])
def test_purposes_that_cannot_be_given_make_no_mailbox(tmp_path: Path, use: str) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        assert (await client.command(f"CREATE New (USE ({use}))"))[-1].startswith(b"NO [USEATTR]")
        assert await client.ok('LIST "" New') == []
        await client.close()

    run(dialogue())


def test_a_given_purpose_goes_before_the_parameter_and_moves_with_its_mailbox(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.ok("CREATE Sent")
        await client.ok("CREATE Trash")
        await client.ok("CREATE Gesendet")
        await client.ok('SETMETADATA Gesendet (/private/specialuse "\\\\sent")')
        await client.ok("RENAME Gesendet Raus")
        lines = await client.ok('LIST "" "*"')
        assert b'* LIST (\\HasNoChildren \\Sent) "/" Raus' in lines
        assert b'* LIST (\\HasNoChildren) "/" Sent' in lines
        assert b'* LIST (\\HasNoChildren \\Trash) "/" Trash' in lines
        await client.ok("DELETE Raus")
        assert b'* LIST (\\HasNoChildren \\Sent) "/" Sent' in await client.ok('LIST "" "*"')
        assert (await client.command('SETMETADATA Sent (/private/specialuse "\\\\Nonsense")'))[-1].startswith(
            b"NO [USEATTR]"
        )
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("line", ["CREATE a (USE)", "CREATE a (USE (\\Sent)", "CREATE a (OTHER (x))", "CREATE a ()"])
def test_wrong_parameters_are_bad(tmp_path: Path, line: str) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        assert (await client.command(line))[-1].startswith(b"BAD")
        await client.close()

    run(dialogue())


def test_parents_of_selected_mailboxes_are_told(tmp_path: Path) -> None:
    """RFC 5258 section 5, examples 8 and 9: RECURSIVEMATCH with % and with *."""

    async def dialogue() -> None:
        client = Client(location(tmp_path))
        for name in ("Foo", "Foo/Bar", "Foo/Baz", "Moo", "foo2", "foo2/bar1", "foo2/bar2"):
            await client.ok(f"CREATE {name}")
        for name in ("Foo/Baz", "Moo", "foo2", "foo2/bar2"):
            await client.ok(f"SUBSCRIBE {name}")
        assert await client.ok('LIST (RECURSIVEMATCH SUBSCRIBED) "" "%"') == [
            b'* LIST (\\HasNoChildren \\Subscribed) "/" Moo',
            b'* LIST (\\HasChildren \\Subscribed) "/" foo2 ("CHILDINFO" ("SUBSCRIBED"))',
            b'* LIST (\\HasChildren) "/" Foo ("CHILDINFO" ("SUBSCRIBED"))',
        ]
        assert (await client.command('LIST (RECURSIVEMATCH) "" "%"'))[-1].startswith(b"BAD")
        assert (await client.command('LIST (RECURSIVEMATCH REMOTE) "" "%"'))[-1].startswith(b"BAD")
        await client.close()

    run(dialogue())
