"""Whatever a script wants and whatever fails on the way: each folder and address gets the message once, in the end."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.lib.sieve import SieveMessage, SieveState, compile_script, execute
from pillarbox.lib.sieve.actions import FileInto, Keep, Redirect
from tests.virtual.test_filtering import ANN, Filtered

FOLDERS, ADDRESSES = ("A", "B/c", "INBOX"), ("x@example.org", "y@example.org")
COMMANDS = st.one_of(
    st.just("keep;"),
    st.just("discard;"),
    st.sampled_from(FOLDERS).map(lambda name: f'fileinto :create "{name}";'),
    st.sampled_from(FOLDERS).map(lambda name: f'fileinto :copy :create "{name}";'),
    st.sampled_from(ADDRESSES).map(lambda address: f'redirect "{address}";'),
    st.sampled_from(ADDRESSES).map(lambda address: f'redirect :copy "{address}";'),
    st.just('addheader "X-A" "b";'),
    st.just("stop;"),
)
FAULTS = st.lists(st.sampled_from(("cleanup", *FOLDERS)), max_size=4)
HEADER = 'require ["fileinto", "mailbox", "copy", "editheader"];\n'


def wanted(script: str) -> tuple[Counter[str], Counter[str]]:
    """Folders and addresses, by the language alone."""
    result = execute(compile_script(script, name="x"), SieveMessage(b"Subject: x\n", 20), SieveState(now=0.0))
    assert not result.error
    folders = {"INBOX" for action in result.actions if isinstance(action, Keep)}
    folders |= {action.mailbox for action in result.actions if isinstance(action, FileInto)}
    addresses = {action.address for action in result.actions if isinstance(action, Redirect)}
    return Counter(folders), Counter(addresses)


class Broken:
    """Something that fails as long as this lasts: cleanup, or the delivery into a folder."""

    def __init__(self, agent: Filtered, what: str) -> None:
        self._agent = agent
        self._tmp: Path | None = None
        if what == "cleanup":
            agent.services.refusal = (451, "4.3.0", "later")
            return
        place = agent.home if what == "INBOX" else agent.home / f".{what.replace('/', '.')}"
        if not (place / "tmp").exists():
            place.mkdir(parents=True, exist_ok=True)
            (place / "tmp").symlink_to("/nonexistent/x")
            self._tmp = place / "tmp"
        else:
            (place / "tmp").rename(place / "was-tmp")
            (place / "tmp").symlink_to("/nonexistent/x")
            self._tmp = place / "tmp"

    def end(self) -> None:
        """It works again."""
        self._agent.services.refusal = None
        if self._tmp is not None:
            self._tmp.unlink()
            former = self._tmp.parent / "was-tmp"
            if former.exists():
                former.rename(self._tmp)


@settings(max_examples=60)
@given(st.lists(COMMANDS, max_size=5), FAULTS)
def test_each_place_gets_the_message_once(commands: list[str], faults: list[str]) -> None:
    script = HEADER + "\n".join(commands)
    folders, addresses = wanted(script)
    with tempfile.TemporaryDirectory() as directory:
        agent = Filtered(Path(directory))
        try:
            agent.script(script)
            request = agent.request(ANN, content=b"To: a@b\nSubject: x\n\nbody\n")
            for fault in faults:
                broken = Broken(agent, fault)
                ((_, status, _, _),) = agent.results(request)
                broken.end()
                if status == "sent":
                    break
                assert status == "deferred"
            else:
                assert agent.results(request)[0][1] == "sent"
            assert Counter({name: len(agent.names(name)) for name in FOLDERS if agent.names(name)}) == folders
            assert Counter(each[1][0] for each in agent.sent) == addresses
        finally:
            agent.services.close()


def test_a_process_that_dies_before_it_sends_has_said_what_it_stored(tmp_path: Path) -> None:
    agent = Filtered(tmp_path)
    agent.script('require "copy"; redirect :copy "x@example.org";')
    request = agent.request(ANN)

    def dies(*_: object) -> str:
        raise SystemExit

    submission = agent.delivery._filtering._submission
    agent.delivery._filtering._submission = type("Dying", (), {"send": dies})()
    try:
        agent.results(request)
    except SystemExit:
        pass
    agent.delivery._filtering._submission = submission
    assert agent.results(request)[0][1] == "sent"
    assert len(agent.names()) == len(agent.sent) == 1
