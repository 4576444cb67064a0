"""The full-text index: with it the same messages are found as without it."""

from __future__ import annotations

import base64
import os
import quopri
import resource
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox.lib.mime import scan_message
from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import TEXT_BODY, TEXT_HEADER, Mailbox, Store
from pillarbox.lib.store.text.file import TextIndex, candidates
from pillarbox.lib.store.text.fold import Needle, fold, fold_pieces
from pillarbox.lib.store.text.keeper import Keeper, Limits, bring_up
from pillarbox.lib.store.text.parts import header_text, part_contains
from pillarbox.lib.store.text.segment import Builder, documents_of, matching
from pillarbox.lib.store.text.words import WordSet, patterns

LIMITS = Limits(message_max=100_000, max_size=0)
ALPHABET = st.sampled_from("aAbBcC .,-\t\n<=é\u0301ßẞİ日本\u00a0ﬁÅ\u0323😀")
TEXTS = st.text(ALPHABET, max_size=60)


def letter(subject: str, body: str, encoding: str = "8bit", charset: str = "utf-8") -> bytes:
    """A message in the given transfer encoding."""
    octets = body.encode(charset, "replace")
    if encoding == "base64":
        octets = base64.encodebytes(octets)
    elif encoding == "quoted-printable":
        octets = quopri.encodestring(octets)
    word = "=?utf-8?b?" + base64.b64encode(subject.encode()).decode() + "?="
    head = f"Subject: {word}\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n"
    return head.encode() + octets


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"maildir:{tmp_path}/Maildir")
    yield store
    store.close()


def opened(store: Store, *messages: bytes) -> Mailbox:
    """INBOX with these messages, indexed."""
    for message in messages:
        store.append("INBOX", [message])
    mailbox = store.open("INBOX")
    index(mailbox)
    return mailbox


def index(mailbox: Mailbox, limits: Limits = LIMITS) -> None:
    assert mailbox.text_place is not None
    bring_up(mailbox.text_place, mailbox, limits)


def uids(mailbox: Mailbox) -> list[int]:
    return [state.uid for state in mailbox.messages]


def looked_at(mailbox: Mailbox, needle: str, *fields: str) -> set[int]:
    """The candidates."""
    found = mailbox.text_candidates(fold(needle), fields or (TEXT_BODY,))
    assert found is not None, "there is an index"
    return set(found)


def really(mailbox: Mailbox, text: str, body: bool, header: bool) -> set[int]:
    """What a look at every message finds."""
    needle = Needle(text)
    found = set()
    for uid in uids(mailbox):
        with mailbox.read(uid) as content:
            if (header and needle.is_in(header_text(content.header()))) or (
                body and part_contains(scan_message(content.chunks()), content, needle)
            ):
                found.add(uid)
    return found


# --- folding
@given(st.lists(TEXTS))
def test_folding_does_not_depend_on_the_cuts(pieces: list[str]) -> None:
    assert "".join(fold_pieces(pieces)) == fold("".join(pieces))


# --- words
@given(TEXTS, TEXTS, st.integers(1, 9))
def test_a_needle_that_occurs_has_its_patterns_among_the_words(text: str, needle: str, step: int) -> None:
    words = WordSet(1000)
    folded = fold(text)
    words.add(folded[at : at + step] for at in range(0, len(folded), step))
    builder = Builder()
    builder.add(7, words.words, ())
    segment = builder.segment()
    every = [matching(segment.words, pattern) for pattern in patterns(fold(needle))]
    if fold(needle) in folded:
        assert all(every)
    if len(every) == 1 and every[0] and patterns(fold(needle)) == [fold(needle).encode()] and "\n" not in needle:
        assert fold(needle) in folded, "for a needle inside a word the words are exact"


@given(st.lists(st.frozensets(st.text("abc", min_size=1, max_size=3), max_size=6), max_size=12), st.data())
def test_segments_keep_what_they_are_told_to(messages: list[frozenset[str]], data: st.DataObject) -> None:
    builder = Builder()
    for uid, words in enumerate(messages):
        builder.add(uid, words, ())
    keep = data.draw(st.sets(st.integers(0, 11)))
    joined = Builder()
    joined.add(99, {"zz"}, {"a"})
    joined.take(builder.segment(), keep)
    segment = joined.segment()
    for word in ("a", "ab", "c", "zz"):
        found = matching(segment.words, word.encode())
        assert found is not None
        documents = documents_of(found, segment.ends, segment.documents)
        got = {joined.uids[document >> 1] for document in documents if not document & 1}
        wanted = {uid for uid, words in enumerate(messages) if uid in keep and any(word in each for each in words)}
        assert got == wanted | ({99} if word == "zz" else set())


# --- a mailbox
MESSAGES = st.lists(
    st.builds(
        letter,
        TEXTS,
        TEXTS,
        st.sampled_from(["8bit", "base64", "quoted-printable"]),
        st.sampled_from(["utf-8", "latin-1", "utf-16"]),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MESSAGES, st.lists(TEXTS.filter(bool), min_size=1, max_size=6), st.booleans(), st.booleans())
def test_no_message_that_matches_is_passed_over(
    tmp_path_factory: pytest.TempPathFactory, messages: list[bytes], needles: list[str], body: bool, header: bool
) -> None:
    store = open_store(f"maildir:{tmp_path_factory.mktemp('box')}/Maildir")
    mailbox = opened(store, *messages)
    assert mailbox.text_place is not None
    texts = [message.partition(b"\n\n")[2].decode("utf-8", "replace")[3:9] for message in messages]
    for needle in (*needles, *filter(None, texts)):
        found = candidates(
            mailbox.text_place, mailbox.uid_validity, uids(mailbox), fold(needle), body=body, header=header
        )
        assert found is None or really(mailbox, needle, body, header) <= set(found)
    store.close()


def test_only_messages_with_the_word_are_looked_at(store: Store) -> None:
    mailbox = opened(
        store, letter("one", "an Apple a day"), letter("two", "pears\nand\npineapples"), letter("apple", "")
    )
    assert looked_at(mailbox, "APPLE") == {1, 2}
    assert looked_at(mailbox, "apple", TEXT_HEADER) == {3}
    assert looked_at(mailbox, "apple", TEXT_HEADER, TEXT_BODY) == {1, 2, 3}
    assert looked_at(mailbox, "n apple a d") == {1}
    assert looked_at(mailbox, "a") == {1, 2}
    assert looked_at(mailbox, "plum") == set()


def test_a_needle_without_a_word_is_not_for_the_index(store: Store) -> None:
    mailbox = opened(store, letter("one", "... --"))
    assert mailbox.text_candidates(" - ", (TEXT_BODY,)) is None


def test_messages_that_are_not_indexed_yet_are_looked_at(store: Store) -> None:
    mailbox = opened(store, letter("one", "apple"))
    store.append("INBOX", [letter("two", "pear")])
    mailbox.refresh()
    assert looked_at(mailbox, "apple") == {1, 2}
    index(mailbox)
    assert looked_at(mailbox, "apple") == {1}


def test_a_message_with_too_much_text_is_always_looked_at(store: Store) -> None:
    store.append("INBOX", [letter("large", "pear " * 100)])
    mailbox = opened(store, letter("one", "apple"))
    index(mailbox, Limits(message_max=100, max_size=0))
    assert looked_at(mailbox, "plum") == set()
    mailbox.expunge([1])
    store.append("INBOX", [letter("large", "pear " * 100)])
    mailbox.refresh()
    index(mailbox, Limits(message_max=100, max_size=0))
    assert looked_at(mailbox, "plum") == {3}


def test_removed_messages_leave_the_index(store: Store) -> None:
    mailbox = opened(store, *(letter("x", f"unique{number}") for number in range(12)))
    place = mailbox.text_place
    assert place is not None and b"unique3" in Path(place).read_bytes()
    mailbox.expunge([4, 5, 6])
    index(mailbox)
    assert looked_at(mailbox, "unique11") == {12}
    with TextIndex(place) as open_index:
        assert open_index.missing(uids(mailbox)) == []
        found = open_index.find(mailbox.uid_validity, "unique", body=True, header=False)
        assert found is not None and found.known == set(uids(mailbox))


def test_small_segments_are_joined(store: Store, tmp_path: Path) -> None:
    mailbox = opened(store)
    for number in range(20):
        store.append("INBOX", [letter("x", f"apple{number}")])
        mailbox.refresh()
        index(mailbox)
    assert mailbox.text_place is not None
    with sqlite3.connect(mailbox.text_place) as database:
        assert database.execute("SELECT count(*) FROM segment").fetchone()[0] < 10
    assert looked_at(mailbox, "apple7") == {8}
    assert looked_at(mailbox, "apple") == set(range(1, 21))


def test_an_index_that_has_grown_too_large_loses_the_oldest_messages(store: Store) -> None:
    many = " ".join(f"word{number}" for number in range(9000))
    mailbox = opened(store, letter("old", f"apple {many}"))
    store.append("INBOX", [letter("new", f"pear {many}")])
    mailbox.refresh()
    index(mailbox)
    assert mailbox.text_place is not None
    with TextIndex(mailbox.text_place) as open_index:
        size = open_index.size
    index(mailbox, Limits(100_000, size - 1))
    assert looked_at(mailbox, "plum") == {1}
    store.append("INBOX", [letter("new", "plum")])
    mailbox.refresh()
    index(mailbox)
    assert looked_at(mailbox, "plum") == {1, 3}, "what was dropped is not taken in again"


@pytest.mark.parametrize("damage", [b"nonsense" * 1000, b"", b"SQLite format 3\0" + bytes(4096)])
def test_a_file_that_is_no_index_is_begun_anew(store: Store, damage: bytes, tmp_path: Path) -> None:
    mailbox = opened(store, letter("one", "apple"))
    assert mailbox.text_place is not None
    place = Path(mailbox.text_place)
    place.write_bytes(damage)
    assert mailbox.text_candidates("apple", (TEXT_BODY,)) is None
    keeper = Keeper(LIMITS, open_store)
    keeper.want(store.location, "INBOX")
    keeper.wait()
    keeper.want(store.location, "INBOX")
    keeper.wait()
    assert looked_at(mailbox, "apple") == {1}


def test_an_index_that_is_just_being_made_is_left_alone(store: Store) -> None:
    mailbox = opened(store)
    assert mailbox.text_place is not None
    place = Path(mailbox.text_place)
    place.unlink()
    place.touch()
    assert mailbox.text_candidates("apple", (TEXT_BODY,)) is None
    assert place.exists()


def test_an_index_with_wrong_words_is_not_believed(store: Store) -> None:
    mailbox = opened(store, letter("one", "apple"))
    assert mailbox.text_place is not None
    place = Path(mailbox.text_place)
    place.write_bytes(place.read_bytes().replace(b"apple", b"bpple"))
    assert mailbox.text_candidates("apple", (TEXT_BODY,)) is None
    assert not place.exists()


def test_an_index_with_wrong_documents_is_not_believed(store: Store) -> None:
    mailbox = opened(store, letter("one", "apple"), letter("two", "apple"))
    assert mailbox.text_place is not None
    with sqlite3.connect(mailbox.text_place) as database:
        (documents,) = database.execute("SELECT list FROM documents").fetchone()
        database.execute("UPDATE documents SET list = ?", (bytes(len(documents)),))
    database.close()
    assert mailbox.text_candidates("apple", (TEXT_BODY,)) is None
    assert not Path(mailbox.text_place).exists()


def test_long_lists_of_documents_are_read_in_parts(store: Store) -> None:
    many = [letter("x", " ".join(f"w{word}" for word in range(400)) + f" n{number}n") for number in range(60)]
    mailbox = opened(store, *many)
    for needle, wanted in (("n59n", {60}), ("w399", set(range(1, 61))), ("n1n", {2}), ("w", set(range(1, 61)))):
        assert looked_at(mailbox, needle) == wanted


def test_an_index_of_a_mailbox_that_was_replaced_says_nothing(store: Store) -> None:
    mailbox = opened(store, letter("one", "apple"))
    assert mailbox.text_place is not None
    assert candidates(mailbox.text_place, mailbox.uid_validity + 1, [1], "apple", body=True, header=True) is None


def test_one_process_writes_and_readers_go_on(store: Store) -> None:
    mailbox = opened(store, letter("one", "apple"))
    store.append("INBOX", [letter("two", "apple")])
    mailbox.refresh()
    assert mailbox.text_place is not None
    with TextIndex(mailbox.text_place, create=True) as writer, writer.writing(mailbox.uid_validity):
        with pytest.raises(sqlite3.OperationalError):
            index(mailbox)
        assert looked_at(mailbox, "apple") == {1, 2}


def test_the_keeper_indexes_in_the_background(store: Store) -> None:
    store.append("INBOX", [letter("one", "apple")])
    keeper = Keeper(LIMITS, open_store)
    keeper.want(store.location, "INBOX")
    keeper.wait()
    with store.open("INBOX") as mailbox:
        assert looked_at(mailbox, "pear") == set()


@pytest.mark.parametrize("last", [1, 2, 3])
def test_a_process_that_dies_leaves_the_index_as_it_was(store: Store, last: int) -> None:
    mailbox = opened(store, letter("one", "apple"))
    for _ in range(3):
        store.append("INBOX", [letter("more", "pear")])
    mailbox.refresh()
    child = os.fork()
    if not child:
        taken = 0

        def die(worked: float) -> bool:
            nonlocal taken
            taken += 1
            if taken == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return True

        try:
            assert mailbox.text_place is not None
            bring_up(mailbox.text_place, mailbox, LIMITS, die)
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert looked_at(mailbox, "apple") == {1, 2, 3, 4}
    index(mailbox)
    assert looked_at(mailbox, "apple") == {1}
    assert looked_at(mailbox, "pear") == {2, 3, 4}


def test_a_full_disk_leaves_the_index_as_it_was(store: Store) -> None:
    mailbox = opened(store, letter("one", "apple"))
    store.append("INBOX", [letter("large", " ".join(f"word{number}" for number in range(9000)))])
    mailbox.refresh()
    child = os.fork()
    if not child:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            index(mailbox)
        except sqlite3.OperationalError:
            code = 42
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert looked_at(mailbox, "plum") == {2}
    index(mailbox)
    assert looked_at(mailbox, "plum") == set()


@pytest.mark.parametrize("kind", ["maildir", "mbox", "sqlite"])
def test_the_index_goes_with_its_mailbox(tmp_path: Path, kind: str) -> None:
    store = open_store(f"{kind}:{tmp_path}/box")
    store.create("One")
    store.append("One", [letter("one", "apple")])
    store.append("One", [letter("two", "pear")])
    with store.open("One") as mailbox:
        index(mailbox)
        assert looked_at(mailbox, "apple") == {1}
        place = mailbox.text_place
    assert place is not None and Path(place).exists()
    store.rename("One", "Two")
    with store.open("Two") as mailbox:
        index(mailbox)
        assert looked_at(mailbox, "pear") == {2}
        place = mailbox.text_place
    store.delete("Two")
    assert place is not None and not Path(place).exists()
    store.create("Two")
    with store.open("Two") as mailbox:
        assert mailbox.text_candidates("apple", (TEXT_BODY,)) is None
    store.close()
