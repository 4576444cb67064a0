"""Each type of table asked the same by our postmap and by Debian's: status, answers, whether one complains."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from pillarbox.commands import postmap as command
from tests.tables.answering import Answering
from tests.tables.foreign import Postmap, settle

KEYS = [
    *("a", "A", "b", "d", "x", "", "a b", "q q"),
    *("root", "ROOT", "sys", "ann", "Ann", "o'neil@x.example", "ann%20", "\u00e4"),
    *("10.1.2.3", "::1", "empty", "HOME", "home"),
]

TABLES = [
    *("inline:{a=b}", "inline:{A=b}", "inline:{ a = b }", "inline:{{a = b c}, d=e}", "inline:{a=b,a=c}", "inline:{a=}"),
    *(
        "inline:{}",
        "inline:{a}",
        "inline:a=b",
        "inline:{{a=b}",
        "inline:{a=b}x",
        "inline:{a=b }",
        "inline:{{ a = b=c }}",
    ),
    *(
        "static:x",
        "static:{x y}",
        "static:{ x y }",
        "static:x y",
        "static: {x}",
        "static:{}",
        "static:{x",
        "static:{x}y",
    ),
    *("fail:x", "nope:x", "environ:x"),
    *("randmap:{x}", "randmap:{x,x}", "randmap:{{x y}}", "randmap:{ x }", "randmap:{}", "randmap:x"),
    "unionmap:{inline:{a=b},inline:{a=c}}",
    "unionmap:{inline:{a=b},inline:{d=c}}",
    "unionmap:{inline:{a=b},fail:x}",
    "unionmap:{fail:x,inline:{a=b}}",
    "unionmap:{ inline:{a=b} inline:{A=c} }",
    "unionmap:{static:x,static:y}",
    *("unionmap:{}", "unionmap:{x}", "unionmap:{{inline:{a=b}}}", "unionmap:inline:{a=b}", "unionmap:{nope:x}"),
    "pipemap:{inline:{a=b},inline:{b=c}}",
    "pipemap:{inline:{a=b},inline:{d=c}}",
    "pipemap:{inline:{a=b},fail:x}",
    "pipemap:{inline:{z=b},fail:x}",
    "pipemap:{inline:{a=B},inline:{b=c}}",
    "pipemap:{inline:{a=B},pcre:{{/b/ X}}}",
    *("pipemap:{static:a}", "pipemap:{}", "pipemap:{x}"),
    *("unix:passwd.byname", "unix:group.byname", "unix:x"),
    *("texthash:FOLDER/text", "regexp:FOLDER/rules", "pcre:FOLDER/rules", "texthash:FOLDER/none"),
    *("regexp:{{/a/ b}}", "pcre:{{/^(a)$/ <$1>}, {/d/ e}}", "regexp:{/a/ b}"),
    *("cidr:{{10.0.0.0/8 x}}", "cidr:{{::/0 six},{0.0.0.0/0 four}}"),
    *("socketmap:inet:127.0.0.1:SOCKETMAP:name", "tcp:127.0.0.1:TCP", "socketmap:x", "socketmap:inet:127.0.0.1:TCP:x"),
]


class Said(NamedTuple):
    status: int
    answers: str
    complains: bool
    asked: tuple[bytes, ...]


def socketmap(received: bytes) -> bytes | None:
    if not received.endswith(b","):
        return b""
    return b"8:OK value," if b"ann" in received else b"3:OK ," if b"empty" in received else b"9:NOTFOUND ,"


def tcp(received: bytes) -> bytes | None:
    if not received.endswith(b"\n"):
        return b"" if received.startswith(b"get") else None  # who talks socketmap is sent away
    return b"200 val%20%25ue\n" if b"ann" in received else b"500 none\n"


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Answering]]:
    with Answering(socketmap) as first, Answering(tcp) as second:
        yield {"SOCKETMAP": first, "TCP": second}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    (folder / "text").write_text('a b\nB cd\nx y z\n"q q" v\n# comment\n')
    (folder / "rules").write_text("/^a(.)/ r$1\n/empty/\n")
    for path in folder.iterdir():
        settle(path)
    return folder


def written(spec: str, folder: Path, servers: dict[str, Answering]) -> str:
    spec = spec.replace("FOLDER", str(folder))
    for name, server in servers.items():
        spec = spec.replace(name, str(server.port))
    return spec


@pytest.fixture(scope="module")
def theirs(postmap: Postmap, folder: Path, servers: dict[str, Answering]) -> dict[tuple[str, str], Said]:
    """What Debian's says, all at once where no server of ours is asked: it sleeps a second before it fails."""

    def ask(case: tuple[str, str]) -> Said:
        option, spec = case
        for server in servers.values():
            server.asked.clear()
        arguments = (*([option] if option else []), "-q", "-", written(spec, folder, servers))
        status, output = postmap(*arguments, text="".join(f"{key}\n" for key in KEYS))
        answers = "".join(line for line in output.splitlines(True) if not line.startswith("postmap: "))
        asked = tuple(text for server in servers.values() for text in server.asked)
        return Said(status, answers, "postmap: " in output, asked)

    cases = [(option, spec) for spec in TABLES for option in ("", "-f")]
    alone = [case for case in cases if case[1].startswith(("socketmap", "tcp"))]
    together = [case for case in cases if case not in alone]
    with ThreadPoolExecutor(64) as threads:
        found = dict(zip(together, threads.map(ask, together), strict=True))
    return found | {case: ask(case) for case in alone}


@pytest.mark.parametrize("option", ["", "-f"])
@pytest.mark.parametrize("spec", TABLES)
def test_both_say_the_same(
    spec: str,
    option: str,
    theirs: dict[tuple[str, str], Said],
    folder: Path,
    servers: dict[str, Answering],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    keys = io.TextIOWrapper(io.BytesIO("".join(f"{key}\n" for key in KEYS).encode()))
    monkeypatch.setattr(sys, "stdin", keys)
    for server in servers.values():
        server.asked.clear()
    status = command.main([*([option] if option else []), "-q", "-", written(spec, folder, servers)])
    output, complaints = capfd.readouterr()
    asked = tuple(text for server in servers.values() for text in server.asked)
    expected = theirs[option, spec]
    if expected.status and expected.complains:
        assert (status, bool(complaints)) == (1, True)  # Postfix prints nothing then
    else:
        assert Said(status, output, bool(complaints), asked) == expected
