"""Reading the two configuration files: what is right is read, and every mistake is named with file, line and key."""

# ruff: noqa: E501  (a message stands here as people see it)
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config import Config, ConfigError, config_directory, load
from pillarbox.lib.config.files import examine
from pillarbox.lib.config.manual import shipped_main_yaml
from pillarbox.lib.config.parameters.general import (
    BASE_PORT,
    DRAIN_TIMEOUT,
    INET_PROTOCOLS,
    MESSAGE_SIZE_LIMIT,
    MYDESTINATION,
    MYHOSTNAME,
    QUEUE_DIRECTORY,
    SOFT_BOUNCE,
)
from pillarbox.lib.config.parameters.smtpd import SMTPD_SASL_AUTH_ENABLE
from pillarbox.lib.config.values import all_parameters

ETC = Path(__file__).parents[2] / "etc"
MASTER = "smtpd: {command: smtpd}\n"


def written(directory: Path, main: str = "", master: str = MASTER) -> str:
    etc = directory / "etc"
    etc.mkdir(exist_ok=True)
    (etc / "main.yaml").write_text(main)
    (etc / "master.yaml").write_text(master)
    return str(etc)


def problems(directory: Path, main: str = "", master: str = MASTER) -> list[str]:
    """What is wrong, without the directory."""
    with pytest.raises(ConfigError) as caught:
        load(written(directory, main, master))
    return [str(problem).replace(f"{directory}/etc/", "") for problem in caught.value.problems]


class TestMain:
    def test_values_are_typed(self, tmp_path: Path) -> None:
        config = load(
            written(
                tmp_path,
                "myhostname: mx.test\nmydestination: [a.test, b.test]\nmessage_size_limit: 5000\n"
                'drain_timeout: 1h30m\nsoft_bounce: yes\ninet_protocols: "ipv4"\n',
            )
        )
        assert config[MYHOSTNAME] == "mx.test"
        assert config[MYDESTINATION] == ("a.test", "b.test")
        assert config[MESSAGE_SIZE_LIMIT] == 5000
        assert config[DRAIN_TIMEOUT] == 5400.0
        assert config[SOFT_BOUNCE] is True
        assert config[INET_PROTOCOLS] == "ipv4"

    @pytest.mark.parametrize("word", ["true", "True", "yes"])
    def test_both_ways_to_say_yes(self, tmp_path: Path, word: str) -> None:
        assert load(written(tmp_path, f"soft_bounce: {word}\n"))[SOFT_BOUNCE] is True

    def test_a_scalar_is_the_text_that_stands_there(self, tmp_path: Path) -> None:
        config = load(written(tmp_path, "myhostname: 0700\nmail_name: 1e3\nmyorigin: 2001-02-03\n"))
        assert [config.raw(name) for name in ("myhostname", "mail_name", "myorigin")] == ["0700", "1e3", "2001-02-03"]

    def test_the_instance_is_the_parent_of_etc(self, tmp_path: Path) -> None:
        assert load(written(tmp_path))[QUEUE_DIRECTORY] == f"{tmp_path}/spool"

    @pytest.mark.parametrize(
        ("main", "problem"),
        [
            ("mesage_size_limit: 1\n", 'main.yaml, line 1: mesage_size_limit: unknown parameter; did you mean "message_size_limit"?'),
            ("qqqq: 1\n", "main.yaml, line 1: qqqq: unknown parameter"),
            ("\n\nbase_port: many\n", "main.yaml, line 3: base_port: a whole number from 0 to 60000 was expected"),
            ("base_port: 60001\n", "main.yaml, line 1: base_port: a whole number from 0 to 60000 was expected"),
            ("base_port: ''\n", "main.yaml, line 1: base_port: a whole number from 0 to 60000 was expected"),
            ("soft_bounce: maybe\n", 'main.yaml, line 1: soft_bounce: "yes" or "no" was expected'),
            ("message_size_limit: 10M\n", "main.yaml, line 1: message_size_limit: a size in bytes was expected"),
            ("drain_timeout: 5x\n", 'main.yaml, line 1: drain_timeout: a time such as "30s", "5m", "4h" or "5d" was expected'),
            ("inet_protocols: ipv5\n", 'main.yaml, line 1: inet_protocols: one of "all", "ipv4", "ipv6" was expected'),
            ("alias_maps: /etc/aliases\n", 'main.yaml, line 1: alias_maps: a table "type:name" was expected, not "/etc/aliases"'),
            ("myorigin: a\nmyorigin: b\n", "main.yaml, line 2: myorigin: is set already in line 1"),
            ("myorigin: $myhostnam\n", 'main.yaml, line 1: myorigin: "$myhostnam" names no parameter; did you mean "myhostname"?'),
            ("myorigin: {a: b}\n", "main.yaml, line 1: myorigin: one value or a list of values was expected"),
            ("myorigin: [[a]]\n", "main.yaml, line 1: myorigin: one value or a list of values was expected"),
            ("myorigin: &x [*x]\n", "main.yaml, line 1: myorigin: one value or a list of values was expected"),
            ("- a\n", 'main.yaml, line 1: "name: value" lines were expected'),
            ("[a, b]: c\n", "main.yaml, line 1: a name was expected before the colon"),
        ],
    )  # fmt: skip
    def test_a_mistake_is_named(self, tmp_path: Path, main: str, problem: str) -> None:
        assert problems(tmp_path, main) == [problem]

    @pytest.mark.parametrize(
        "main", ["a: b: c\n", "a: [\n", "\tx: y\n", '"abc\n', "a: b\n--- \nc: d\n", "@x\n", "x: \x01\n"]
    )
    def test_what_is_no_yaml_is_said_with_its_line(self, tmp_path: Path, main: str) -> None:
        (found,) = problems(tmp_path, main)
        assert found.startswith("main.yaml") and "not YAML: " in found and "\n" not in found

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        etc = written(tmp_path)
        (tmp_path / "etc" / "main.yaml").write_bytes(b"myhostname: \xff\xfe\n")
        with pytest.raises(ConfigError, match="not YAML"):
            load(etc)

    def test_references_that_run_in_a_circle(self, tmp_path: Path) -> None:
        found = problems(tmp_path, "myhostname: $myorigin\nmyorigin: $myhostname\n")
        assert len(found) == 2 and all("run in a circle" in one for one in found)

    def test_every_mistake_is_found_not_only_the_first(self, tmp_path: Path) -> None:
        assert len(problems(tmp_path, "nosuch: 1\nbase_port: x\nsoft_bounce: 7\n", "x: {command: nosuch}\n")) == 4

    def test_files_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            load(str(tmp_path))
        assert [str(one) for one in caught.value.problems] == [
            f"{tmp_path}/{name}: cannot be read: No such file or directory" for name in ("main.yaml", "master.yaml")
        ]

    @given(st.text(alphabet="ab:-[]{}#&*!|>'\"% \n\t,$@", max_size=60))
    def test_no_text_gives_anything_but_a_configuration_or_problems(self, text: str) -> None:
        import tempfile

        with tempfile.TemporaryDirectory() as directory:
            config, found = examine(written(Path(directory), text, text))
        assert isinstance(config, Config) and all(str(problem) for problem in found)


class TestMaster:
    @pytest.mark.parametrize(
        ("master", "problem"),
        [
            ("a: {command: smptd}\n", 'master.yaml, line 1: a.command: there is no program "smptd"'),
            ("a: {command: ../x}\n", 'master.yaml, line 1: a.command: a program folder such as "smtpd" or "imapd.login" was expected'),
            ("a: {}\n", 'master.yaml, line 1: a: the service "a" needs a command'),
            ("a: smtpd\n", 'master.yaml, line 1: a: the fields of a service were expected, such as "command: smtpd"'),
            ("a: {comand: smtpd, command: smtpd}\n", 'master.yaml, line 1: a.comand: unknown service field; did you mean "command"?'),
            ("a:\n  command: smtpd\n  processes: 0\n", "master.yaml, line 3: a.processes: a whole number from 1 was expected"),
            ("a: {command: smtpd, processes: 2, warm: 3}\n", "master.yaml, line 1: a.warm: 3 is more than the 2 processes allowed"),
            ("a: {command: smtpd, listen: inet:smpt}\n", 'master.yaml, line 1: a.listen: "private", "public" or "inet:[ADDRESS:]PORT" was expected, not "inet:smpt"'),
            ("a: {command: smtpd, listen: inet:70000}\n", 'master.yaml, line 1: a.listen: "private", "public" or "inet:[ADDRESS:]PORT" was expected, not "inet:70000"'),
            ("a: {command: smtpd, confine: perhaps}\n", 'master.yaml, line 1: a.confine: "yes" or "no" was expected'),
            ("a: {command: smtpd, wakeup: soon}\n", 'master.yaml, line 1: a.wakeup: a time such as "30s", "5m", "4h" or "5d" was expected'),
            ("../a: {command: smtpd}\n", 'master.yaml, line 1: ../a: "../a" is not a service name: letters, digits, "-" and "_" were expected'),
            ("a: {command: smtpd}\na: {command: smtpd}\n", "master.yaml, line 2: a: is set already in line 1"),
            ("a:\n  command: smtpd\n  options:\n    soft_bonce: yes\n", 'master.yaml, line 4: soft_bonce: unknown parameter; did you mean "soft_bounce"?'),
            ("a:\n  command: smtpd\n  options:\n    soft_bounce: 7\n", 'master.yaml, line 4: soft_bounce: "yes" or "no" was expected'),
            ("a: {command: smtpd, options: x}\n", 'master.yaml, line 1: a.options: "name: value" lines was expected'),
            ("", "master.yaml: no service is defined"),
            ("# nothing\n", "master.yaml: no service is defined"),
        ],
    )  # fmt: skip
    def test_a_mistake_is_named(self, tmp_path: Path, master: str, problem: str) -> None:
        assert problems(tmp_path, "", master) == [problem]

    def test_a_service(self, tmp_path: Path) -> None:
        master = (
            "submission:\n  command: smtpd\n  listen: [inet:submission, 'inet:[::1]:2525', public]\n  processes: 3\n"
            "  warm: 2\n  sessions: 7\n  user: 1234\n  confine: no\n  wakeup: 60s\n  options: {smtpd_sasl_auth_enable: yes}\n"
        )
        service = load(written(tmp_path, "", master)).services["submission"]
        assert service.inet == (("", 587), ("::1", 2525))
        assert (service.processes, service.warm, service.sessions) == (3, 2, 7)
        assert (service.user, service.confine, service.wakeup) == ("1234", False, 60.0)

    def test_options_hold_for_their_service_only(self, tmp_path: Path) -> None:
        master = "a: {command: smtpd, options: {smtpd_sasl_auth_enable: yes, base_port: 7}}\nb: {command: smtpd}\n"
        config = load(written(tmp_path, "base_port: 5\n", master))
        a, b = (config.for_service(config.services[name]) for name in "ab")
        assert (a[SMTPD_SASL_AUTH_ENABLE], a[BASE_PORT]) == (True, 7)
        assert (b[SMTPD_SASL_AUTH_ENABLE], b[BASE_PORT]) == (False, 5)
        assert config[BASE_PORT] == 5
        assert a.raw("service_name") == "a"

    def test_sockets_are_where_master_says(self, tmp_path: Path) -> None:
        config = load(written(tmp_path, "", "a: {command: smtpd, listen: [private, public]}\nb: {command: smtpd}\n"))
        spool = f"{tmp_path}/spool"
        assert config.socket_path("a") == f"{spool}/public/a"
        assert config.socket_path("b") == f"{spool}/private/b"
        assert config.socket_path("unknown") == f"{spool}/private/unknown"


class TestShippedFiles:
    def test_main_yaml_is_what_the_declarations_say(self) -> None:
        assert (ETC / "main.yaml").read_text() == shipped_main_yaml(), "run python -m pillarbox.lib.config.manual"

    def test_they_load_without_a_problem(self) -> None:
        config, found = examine(str(ETC))
        assert found == []
        assert {"smtpd", "cleanup", "qmgr", "virtual", "local", "smtp", "lookup", "auth"} <= config.services.keys()

    def test_every_commented_default_could_be_taken_as_it_stands(self, tmp_path: Path) -> None:
        text = shipped_main_yaml()
        lines = [line[1:] for line in text.splitlines() if line.startswith("#") and not line.startswith("# ")]
        lines = [line for line in lines if "(the name of" not in line and "(its domain)" not in line]
        found = examine(written(tmp_path, "\n".join(lines) + "\n"))[1]
        assert found == []

    def test_each_parameter_stands_there_once_with_a_text(self) -> None:
        names = [
            line[1:].partition(":")[0]
            for line in shipped_main_yaml().splitlines()
            if line[:1] == "#" and line[1:2] != " "
        ]
        names = [name for name in names if name]
        assert sorted(names) == sorted(set(names))
        assert set(names) == set(all_parameters())
        assert all(parameter.doc for parameter in all_parameters().values())

    def test_every_default_is_of_its_type(self) -> None:
        config = Config.for_tests()
        for parameter in all_parameters().values():
            config[parameter]

    def test_it_is_yaml(self) -> None:
        assert yaml.safe_load(shipped_main_yaml()) is None


def test_the_directory_comes_from_the_option_the_environment_or_the_default(tmp_path: Path) -> None:
    assert config_directory("/a/etc", {"MAIL_CONFIG": "/b/etc"}) == "/a/etc"
    assert config_directory(None, {"MAIL_CONFIG": "/b/etc"}) == "/b/etc"
    assert config_directory(None, {}) == "/etc/pillarbox"
    assert config_directory("relative/etc", {}).startswith("/")
