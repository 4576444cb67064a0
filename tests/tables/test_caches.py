"""`redis:` and `memcache:` with the real servers of Debian."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox.lib.log import log
from pillarbox.lib.tables import STANDARD, LookupFailed, Options, Table
from pillarbox.lib.tables.blocking import waiting_allowed
from tests.peers.caches import Memcached, Redis

PASSWORD = "pass 'word\\ $1 ü"


@pytest.fixture(autouse=True)
def may_wait() -> Iterator[None]:
    with waiting_allowed():
        yield


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with Redis(PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def memcached() -> Iterator[Memcached]:
    with Memcached() as server:
        yield server


Make = Callable[..., Table]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A table of a kind with a file that says these things."""

    def make(kind: str, options: Options | None = None, **said: object) -> Table:
        path = tmp_path / f"{kind}.cf"
        path.write_text("".join(f"{name} = {value}\n" for name, value in said.items()))
        path.chmod(0o600)
        return STANDARD.open(f"{kind}:{path}", options)

    return make


def failure(table: Table, key: str = "key") -> str:
    with log.capture(), pytest.raises(LookupFailed) as failed:
        table.get(key)
    return failed.value.reason


# --- redis
def test_redis_finds_and_does_not_find(redis: Redis, make: Make) -> None:
    assert redis.ask("SET", "alias:ann@x.example", "ann") == "+OK"
    table = make("redis", host=f"inet:127.0.0.1:{redis.port}", password=PASSWORD, command="GET alias:%s")
    assert [table.get(key) for key in ("ann@x.example", "ANN@x.example", "bob@x.example")] == ["ann", "ann", None]
    assert table.reach().ports == {redis.port}


def test_redis_by_unix_socket_in_another_database(redis: Redis, make: Make) -> None:
    redis.ask("SET", "ann", "in three", db=3)
    table = make("redis", host=f"unix:{redis.socket}", password=PASSWORD, db=3)
    assert table.get("ann") == "in three"
    assert not table.reach().ports


@pytest.mark.parametrize(
    ("command", "expected"),
    [("HGET people %u", "A. Nn"), ("SMEMBERS list:%u", "<a@x.example>"), ("LRANGE order:%d 0 -1", "<one>,<two>")],
)
def test_any_command_that_gives_texts(redis: Redis, make: Make, command: str, expected: str) -> None:
    redis.ask("HSET", "people", "ann", "A. Nn")
    redis.ask("SADD", "list:ann", "a@x.example")
    redis.ask("DEL", "order:x.example")
    redis.ask("RPUSH", "order:x.example", "one", "two")
    shape = "%s" if command.startswith("HGET") else "<%s>"
    table = make("redis", host=f"127.0.0.1:{redis.port}", password=PASSWORD, command=command, result_format=shape)
    assert table.get("ann@x.example") == expected
    assert table.get("nobody@y.example") is None


@given(key=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_redis_takes_any_key_for_a_key(redis: Redis, make: Make, key: str) -> None:
    table = make("redis", Options(fold=False), host=f"unix:{redis.socket}", password=PASSWORD, command="GET h:%s")
    redis.ask("SET", f"h:{key}", "here")
    assert table.get(key) == "here"
    redis.ask("DEL", f"h:{key}")
    assert table.get(key) is None


def test_a_wrong_password_is_no_missing_key(redis: Redis, make: Make) -> None:
    assert "WRONGPASS" in failure(make("redis", host=f"unix:{redis.socket}", password="wrong"))
    assert "NOAUTH" in failure(make("redis", host=f"unix:{redis.socket}"))


def test_a_command_that_the_server_does_not_take_fails(redis: Redis, make: Make) -> None:
    redis.ask("RPUSH", "order:key", "one")
    table = make("redis", host=f"unix:{redis.socket}", password=PASSWORD, command="GET order:%s")
    assert "WRONGTYPE" in failure(table)
    assert table.get("other") is None  # the connection is as good as before


def test_redis_that_is_started_anew_is_asked_again(make: Make) -> None:
    with Redis() as server:
        server.ask("SET", "key", "one")
        table = make("redis", host=f"127.0.0.1:{server.port}")
        assert table.get("key") == "one"
        server.stop()
        assert "127.0.0.1" in failure(table)
        server.start()
        server.ask("SET", "key", "two")
        again = make("redis", host=f"127.0.0.1:{server.port}")
        assert again.get("key") == "two"


# --- memcache
def test_memcache_finds_and_does_not_find(memcached: Memcached, make: Make) -> None:
    assert memcached.ask("set mx:ann 0 0 9\r\nann's box") == "STORED"
    table = make("memcache", memcache=f"inet:127.0.0.1:{memcached.port}", key_format="mx:%s")
    assert [table.get(key) for key in ("ann", "ANN", "bob", "a b", "x" * 300)] == ["ann's box"] * 2 + [None] * 3


def test_what_the_backup_has_is_remembered(memcached: Memcached, make: Make, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("ann@x.example from-the-file\n")
    said = {
        "memcache": f"inet:127.0.0.1:{memcached.port}",
        "key_format": "b:%s",
        "backup": f"texthash:{tmp_path}/backup",
        "flags": 7,
    }
    table = make("memcache", **said)
    assert table.files() == (f"{tmp_path}/memcache.cf",)  # not loaded yet
    assert table.get("ann@x.example") == "from-the-file"
    assert memcached.ask("get b:ann@x.example") == "VALUE b:ann@x.example 7 13"
    assert table.get("bob@x.example") is None
    assert table.files() == (f"{tmp_path}/memcache.cf", f"{tmp_path}/backup")
    (tmp_path / "backup").unlink()
    assert table.get("ann@x.example") == "from-the-file"


@pytest.mark.parametrize("key", ['"ann b"@x.example', "x" * 251])
def test_a_key_that_the_cache_cannot_have_is_asked_of_the_backup(memcached: Memcached, make: Make, key: str) -> None:
    server = f"inet:127.0.0.1:{memcached.port}"
    assert make("memcache", memcache=server, backup=f"inline:{{ {{{key} = there}} }}").get(key) == "there"
    assert make("memcache", memcache=server, backup="inline:{other=there}").get(key) is None
    failure(make("memcache", memcache=server, backup="fail:always"), key)
    assert make("memcache", memcache=server).get(key) is None


def test_a_dead_cache_is_a_failure_without_backup_only(make: Make) -> None:
    assert "Connection refused" in failure(make("memcache", memcache="127.0.0.1:1"))
    with log.capture() as lines:
        table = make("memcache", memcache="127.0.0.1:1", backup="inline:{key=value}")
        assert [table.get("key"), table.get("key"), table.get("other")] == ["value", "value", None]
    assert sum("the backup is asked" in line for line in lines) == 1


def test_a_failing_backup_is_a_failure(memcached: Memcached, make: Make) -> None:
    table = make("memcache", memcache=f"inet:127.0.0.1:{memcached.port}", backup="fail:always")
    assert "fail:always" in failure(table, "not-in-the-cache")


def test_a_value_beyond_the_limit_is_not_taken(memcached: Memcached, make: Make) -> None:
    memcached.ask(f"set big 0 0 100\r\n{'x' * 100}")
    table = make("memcache", memcache=f"inet:127.0.0.1:{memcached.port}", data_size_limit=99)
    assert "at most 99 bytes" in failure(table, "big")


# --- both
@pytest.mark.parametrize(
    ("kind", "said", "expected"),
    [
        ("redis", {"host": "inet:x:0"}, 'line 1: host: "inet:host:port"'),
        ("redis", {"hots": "x"}, 'line 1: unknown setting "hots"'),
        ("redis", {"command": "GET key"}, "line 1: command: a command that asks for the key was expected"),
        ("redis", {"command": "SET %s x"}, "line 1: command: a command that asks for the key was expected"),
        ("redis", {"command": "GET %q"}, 'line 1: command: "%q"'),
        ("redis", {"db": "one"}, "line 1: db: a whole number"),
        ("memcache", {"memcache": "x:y:z:w"}, "line 1: memcache: "),
        ("memcache", {"ttl": "1h"}, "line 1: ttl: a whole number"),
        ("memcache", {"backup": "nope:x"}, "line 1: backup: unsupported dictionary type: nope"),
        ("memcache", {"key_format": "%"}, 'line 1: key_format: "%"'),
    ],
)
def test_a_mistake_names_file_line_and_what_was_expected(
    make: Make, kind: str, said: dict[str, str], expected: str
) -> None:
    reason = failure(make(kind, **said))
    assert f"{kind}.cf, " in reason
    assert expected in reason


@pytest.mark.parametrize(("kind", "setting"), [("memcache", "memcache"), ("redis", "host")])
def test_what_decides_about_rights_is_not_asked_of_a_cache_elsewhere(make: Make, kind: str, setting: str) -> None:
    table = make(kind, Options(authentic=True), **{setting: "192.0.2.1:11211"})
    assert "a server on this host was expected" in failure(table)
