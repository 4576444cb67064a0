"""What SEARCH and SORT give back: SAVE and `$`, PARTIAL, RELEVANCY; fuzzy searches; the index behind them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import FLAGGED
from pillarbox.lib.store.text.file import TextIndex
from tests.imap.dialogue import Client, location, run

COUNT = 6


def mail(number: int, text: str = "hello") -> bytes:
    return b"From: Ann <ann@example.org>\r\nSubject: letter %d\r\n\r\n%b %d\r\n" % (number, text.encode(), 10 - number)


def dialogue(tmp_path: Path, talk: Callable[[Client], Awaitable[None]], **parameters: str) -> None:
    """A session with six messages, of which the second and fifth are flagged."""

    async def whole() -> None:
        store = open_store(location(tmp_path))
        for number in range(1, COUNT + 1):
            store.append("INBOX", [mail(number)], flags=FLAGGED if number in (2, 5) else 0)
        store.close()
        client = Client(location(tmp_path), **parameters)
        await client.ok("SELECT INBOX")
        await talk(client)
        await client.close()

    run(whole())


async def items(client: Client, command: str) -> bytes:
    """What the one ESEARCH response says."""
    (line,) = await client.ok(command)
    assert line.startswith(b"* ESEARCH (TAG ")
    return line.partition(b") ")[2]


# --- RFC 5182
SAVED = {
    "SAVE": "2,5",
    "SAVE ALL": "2,5",
    "SAVE COUNT": "2,5",
    "SAVE MIN": "2",
    "SAVE MAX": "5",
    "SAVE MIN MAX": "2,5",
    "SAVE MIN COUNT": "2,5",
    "SAVE PARTIAL 2:2": "5",
    "SAVE PARTIAL 2:2 COUNT": "2,5",
    "SAVE MIN CONTEXT": "2",
    "SAVE CONTEXT": "2,5",
    "SAVE PARTIAL 2:2 MIN": "2,5",
}


@pytest.mark.parametrize("options", SAVED)
def test_what_is_saved_depends_on_the_other_options(tmp_path: Path, options: str) -> None:
    async def talk(client: Client) -> None:
        lines = await client.ok(f"SEARCH RETURN ({options}) FLAGGED")
        assert bool(lines) is (options != "SAVE"), "only SAVE alone is silent"
        assert await items(client, "UID SEARCH RETURN (ALL) $") == b"UID ALL " + SAVED[options].encode()

    dialogue(tmp_path, talk)


def test_commands_take_the_saved_result_for_a_set(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        await client.ok("CREATE Other")
        await client.ok("SEARCH RETURN (SAVE) FLAGGED")
        assert [line.split()[1] for line in await client.ok("FETCH $ UID")] == [b"2", b"5"]
        assert [line.split()[1] for line in await client.ok("UID FETCH $ FLAGS")] == [b"2", b"5"]
        assert await client.ok("SEARCH NOT $") == [b"* SEARCH 1 3 4 6"]
        assert await client.ok("SEARCH UID $ 2:4") == [b"* SEARCH 2"]
        await client.ok("COPY $ Other")
        await client.ok("STORE $ +FLAGS.SILENT (\\Deleted)")
        await client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
        assert [line for line in await client.ok("UID EXPUNGE $") if b"EXPUNGE" in line] == [
            b"* 5 EXPUNGE",
            b"* 2 EXPUNGE",
        ]
        assert await client.ok("FETCH $ UID") == [], "what is gone counts for nothing"
        assert (await client.ok("STATUS Other (MESSAGES)"))[0].endswith(b"(MESSAGES 2)")

    dialogue(tmp_path, talk)


def test_the_saved_result_is_empty_after_a_failure_and_a_select(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        assert await client.ok("SEARCH $") == [b"* SEARCH"]
        await client.ok("SEARCH RETURN (SAVE) ALL")
        lines = await client.command("SEARCH RETURN (SAVE) CHARSET X-NONE SUBJECT x")
        assert lines[-1].startswith(b"NO [BADCHARSET")
        assert await client.ok("SEARCH $") == [b"* SEARCH"]
        await client.ok("SEARCH RETURN (SAVE) ALL")
        await client.ok("SEARCH 1")
        assert await client.ok("SEARCH $") == [b"* SEARCH 1 2 3 4 5 6"], "other searches leave it"
        await client.ok("SELECT INBOX")
        assert await client.ok("SEARCH $") == [b"* SEARCH"]

    dialogue(tmp_path, talk)


# --- RFC 9394
PAGES = {
    "1:3": b"PARTIAL (1:3 1:3)",
    "3:1": b"PARTIAL (3:1 1:3)",
    "5:100": b"PARTIAL (5:100 5:6)",
    "7:9": b"PARTIAL (7:9 NIL)",
    "-1:-2": b"PARTIAL (-1:-2 5:6)",
    "-5:-100": b"PARTIAL (-5:-100 1:2)",
    "-7:-9": b"PARTIAL (-7:-9 NIL)",
}


@pytest.mark.parametrize("page", PAGES)
def test_pages_of_a_result(tmp_path: Path, page: str) -> None:
    async def talk(client: Client) -> None:
        assert await items(client, f"SEARCH RETURN (PARTIAL {page}) ALL") == PAGES[page]

    dialogue(tmp_path, talk)


def test_pages_of_sorted_results_and_of_fetches(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        command = "UID SORT RETURN (PARTIAL 2:3 MIN MAX COUNT) (REVERSE SUBJECT) UTF-8 ALL"
        assert await items(client, command) == b"UID PARTIAL (2:3 5,4) MIN 6 MAX 1 COUNT 6"
        lines = await client.ok("UID FETCH 2:* FLAGS (PARTIAL -1:-2)")
        assert [line.split()[1] for line in lines] == [b"5", b"6"]

    dialogue(tmp_path, talk)


@pytest.mark.parametrize(
    "command",
    [
        "SEARCH RETURN (PARTIAL 1:2 ALL) ALL",
        "SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL",
        "SEARCH RETURN (PARTIAL 1:-2) ALL",
        "SEARCH RETURN (PARTIAL 0:2) ALL",
        "SEARCH RETURN (PARTIAL 1) ALL",
        "FETCH 1:2 FLAGS (PARTIAL 1:2)",
        "SEARCH RETURN (NONSENSE) ALL",
        "SEARCH 1,$",
        "SORT () UTF-8 ALL",
        "SORT (REVERSE) UTF-8 ALL",
        "SORT (SUBJECT) ALL",
        "THREAD NONSENSE UTF-8 ALL",
    ],
)
def test_what_is_wrong_is_bad(tmp_path: Path, command: str) -> None:
    async def talk(client: Client) -> None:
        assert (await client.command(command))[-1].startswith(b"BAD")

    dialogue(tmp_path, talk)


# --- RFC 5256
def test_sort_and_thread_in_their_own_responses(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        assert await client.ok("SORT (REVERSE SUBJECT) UTF-8 FLAGGED") == [b"* SORT 5 2"]
        assert await client.ok("SORT (SUBJECT) UTF-8 SUBJECT none") == [b"* SORT"]
        assert await client.ok("UID THREAD ORDEREDSUBJECT UTF-8 1:3") == [b"* THREAD (1)(2)(3)"]
        assert await client.ok("THREAD REFS UTF-8 SUBJECT none") == [b"* THREAD"]
        lines = await client.command("SORT (SUBJECT) X-NONE ALL")
        assert lines == [b"NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset"]

    dialogue(tmp_path, talk)


# --- RFC 6203
def test_a_fuzzy_search_finds_the_words_apart_and_says_how_well_they_fit(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        store = open_store(location(tmp_path))
        store.append("INBOX", [mail(7, "pears, then apples")])
        store.append("INBOX", [mail(8, "apples then pears")])
        store.close()
        await client.ok("NOOP")
        assert await client.ok('SEARCH BODY "apples then"') == [b"* SEARCH 8"]
        command = 'RETURN (ALL RELEVANCY) FUZZY BODY "apples then"'
        assert await items(client, f"SEARCH {command}") == b"ALL 7:8 RELEVANCY (50 100)"
        assert await client.ok('SORT (RELEVANCY) UTF-8 FUZZY BODY "apples then"') == [b"* SORT 8 7"]
        assert await client.ok('SEARCH FUZZY (OR SUBJECT "8 letter" SUBJECT "zz")') == [b"* SEARCH 8"]

    dialogue(tmp_path, talk)


# --- RFC 8474, RFC 8514
def test_objects_and_save_dates(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        assert await client.ok("SEARCH EMAILID nonsense") == [b"* SEARCH"]
        assert await client.ok("SEARCH THREADID nonsense") == [b"* SEARCH"]
        with open_store(location(tmp_path)).open("INBOX") as mailbox:
            identifier = mailbox.email_id(3)
        assert await client.ok(f"SEARCH EMAILID {identifier}") == [b"* SEARCH 3"]
        assert await client.ok("SEARCH SAVEDSINCE 1-Jan-2020") == [b"* SEARCH 1 2 3 4 5 6"]
        assert await client.ok("SEARCH SAVEDBEFORE 1-Jan-2020") == [b"* SEARCH"]
        assert await client.ok("SEARCH OR SAVEDATESUPPORTED NOT SAVEDATESUPPORTED SAVEDON 1-Jan-2020") == [b"* SEARCH"]

    dialogue(tmp_path, talk)


# --- the index
def test_the_first_search_in_bodies_begins_an_index_and_new_mail_comes_into_it(tmp_path: Path) -> None:
    place = tmp_path / "Maildir" / "pillarbox-text"

    async def talk(client: Client) -> None:
        assert await client.ok("SEARCH SUBJECT letter BODY 5") == [b"* SEARCH 5"]
        client.session.text_indexing.keeper.wait()
        assert place.exists()
        assert await client.ok("SEARCH SUBJECT letter BODY 5") == [b"* SEARCH 5"]
        store = open_store(location(tmp_path))
        store.append("INBOX", [mail(7, "quince")])
        store.close()
        await client.ok("NOOP")
        client.session.text_indexing.keeper.wait()
        with open_store(location(tmp_path)).open("INBOX") as mailbox:
            assert mailbox.text_candidates("quince", ("body",)) == {7}
        for command in ("SEARCH BODY quince", "SEARCH OR BODY quince BODY none", "SEARCH FUZZY TEXT quince"):
            assert await client.ok(command) == [b"* SEARCH 7"]
        assert await client.ok("SEARCH NOT TEXT quince") == [b"* SEARCH 1 2 3 4 5 6"]
        assert await client.ok("SEARCH NOT TEXT e") == [b"* SEARCH"]
        assert await client.ok('SEARCH SUBJECT ""') == [b"* SEARCH 1 2 3 4 5 6 7"]

    dialogue(tmp_path, talk)


def test_removed_messages_leave_the_index_after_the_next_search(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        client.session.text_indexing.keeper.wait()
        await client.ok("STORE 1:4 +FLAGS.SILENT (\\Deleted)")
        await client.ok("EXPUNGE")
        assert await client.ok("SEARCH BODY hello") == [b"* SEARCH 1 2"]
        client.session.text_indexing.keeper.wait()
        with open_store(location(tmp_path)).open("INBOX") as mailbox, TextIndex(mailbox.text_place or "") as index:
            found = index.find(mailbox.uid_validity, "hello", body=True, header=False)
            assert found is not None and found.known == {5, 6}

    dialogue(tmp_path, talk, fts_autoindex="yes")


def test_no_index_is_begun_without_need(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        await client.ok("SEARCH SUBJECT letter FROM ann")
        client.session.text_indexing.keeper.wait()
        assert not (tmp_path / "Maildir" / "pillarbox-text").exists()

    dialogue(tmp_path, talk)


def test_an_index_may_be_begun_when_a_mailbox_is_selected(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        client.session.text_indexing.keeper.wait()
        assert (tmp_path / "Maildir" / "pillarbox-text").exists()

    dialogue(tmp_path, talk, fts_autoindex="yes")


def test_no_index_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        assert await client.ok("SEARCH BODY hello") == [b"* SEARCH 1 2 3 4 5 6"]
        client.session.text_indexing.keeper.wait()
        assert not (tmp_path / "Maildir" / "pillarbox-text").exists()

    dialogue(tmp_path, talk, fts="no")


def test_what_takes_long_is_done_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LARGE", "MANY"):
        monkeypatch.setattr(f"pillarbox.imapd.search.run.{name}", 0)

    async def talk(client: Client) -> None:
        client.session.text_indexing.keeper.wait()
        assert await client.ok("SEARCH BODY hello TEXT letter") == [b"* SEARCH 1 2 3 4 5 6"]
        assert await client.ok("SEARCH BODY helloo") == [b"* SEARCH"]
        assert await client.ok("SORT (REVERSE SUBJECT) UTF-8 2:4") == [b"* SORT 4 3 2"]
        assert await client.ok("THREAD REFS UTF-8 2:4") == [b"* THREAD (2)(3)(4)"]

    dialogue(tmp_path, talk, fts_autoindex="yes")
