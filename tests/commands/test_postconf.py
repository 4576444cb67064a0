"""postconf: showing and changing the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.commands.postconf import main
from pillarbox.commands.postconf_edit import apply, written
from pillarbox.lib.config import load
from pillarbox.lib.config.parameters.general import MYDESTINATION
from pillarbox.lib.config.values import all_parameters
from tests.commands.running import Said, run

MAIN = """# Our own mail system.
myhostname: mx.example.com
mydomain: example.com

# where mail is for us
mydestination:
  - $myhostname
  - localhost  # always

# last
relayhost: "[hub.example]:2525"
"""
MASTER = """
submission:
  command: smtpd
  listen: inet:submission
  processes: 4
  options: {smtpd_tls_auth_only: yes, mydestination: "a, b"}
lookup: {command: lookup, wakeup: 60s}
"""


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "main.yaml").write_text(MAIN)
    (tmp_path / "master.yaml").write_text(MASTER.replace("command: smtpd", "command: lookup"))
    return tmp_path


def test_values_are_shown(etc: Path) -> None:
    assert run(main, "-c", etc, "relayhost", "mydestination") == Said(
        0, "relayhost = [hub.example]:2525\nmydestination = $myhostname, localhost\n"
    )
    assert run(main, "-c", etc, "-h", "mydomain") == Said(0, "example.com\n")
    assert run(main, "-c", etc, "-H", "mydomain") == Said(0, "mydomain\n")
    assert run(main, "-c", etc, "-x", "mydestination").out == "mydestination = mx.example.com, localhost\n"
    assert run(main, "-c", etc, "-d", "mydestination").out == (
        "mydestination = $myhostname, localhost.$mydomain, localhost\n"
    )
    assert run(main, "-c", etc, "transport_maps").out == "transport_maps = \n"


def test_all_parameters_are_listed_sorted(etc: Path) -> None:
    names = [line.partition(" = ")[0] for line in run(main, "-c", etc).out.splitlines()]
    assert names == sorted(all_parameters())
    assert run(main, "-c", etc, "-d").out.count("\n") == len(names)


def test_only_what_is_set(etc: Path) -> None:
    names = run(main, "-c", etc, "-nH").out.split()
    assert [name for name in names if name not in ("config_directory", "instance_directory")] == [
        "mydestination",
        "mydomain",
        "myhostname",
        "relayhost",
    ]
    assert run(main, "-c", etc, "-n", "mydomain", "transport_maps") == Said(0, "mydomain = example.com\n")


def test_a_value_for_once(etc: Path) -> None:
    assert run(main, "-c", etc, "-o", "relayhost=zz", "relayhost") == Said(0, "relayhost = zz\n")


def test_json(etc: Path) -> None:
    assert json.loads(run(main, "-c", etc, "-j", "mydomain").out) == {"name": "mydomain", "value": "example.com"}


def test_an_unknown_parameter_is_a_warning(etc: Path) -> None:
    assert run(main, "-c", etc, "nosuch", "mydomain") == Said(
        0, "mydomain = example.com\n", "postconf: warning: nosuch: unknown parameter\n"
    )
    assert run(main, "-qc", etc, "nosuch") == Said(0)


def test_mistakes_in_the_file_are_warned_of_and_the_rest_is_shown(etc: Path) -> None:
    (etc / "main.yaml").write_text(MAIN + "relay_hots: x\n")
    said = run(main, "-c", etc, "mydomain")
    assert (said.status, said.out) == (0, "mydomain = example.com\n")
    assert said.err.startswith(f"postconf: warning: {etc}/main.yaml, line 12: relay_hots: unknown parameter")


def test_fixed_lists(etc: Path) -> None:
    assert run(main, "-l").out == "flock\nfcntl\ndotlock\n"
    kinds = run(main, "-m").out.split()
    assert kinds == sorted(kinds)
    assert {"hash", "texthash", "regexp", "pcre", "cidr", "accounts"} <= set(kinds)
    assert run(main, "-T", "run-version").out.startswith("Pillarbox ")


def test_services(etc: Path) -> None:
    assert run(main, "-c", etc, "-M").out == (
        "submission inet  n       -       n       -       4       lookup -o smtpd_tls_auth_only=yes "
        "-o { mydestination = a, b }\n"
        "lookup     unix  -       -       n       60      1       lookup\n"
    )
    assert run(main, "-c", etc, "-M", "lookup/unix").out.startswith("lookup     unix ")
    assert run(main, "-c", etc, "-M", "nosuch/inet").err == 'postconf: warning: unmatched request: "nosuch/inet"\n'
    assert run(main, "-c", etc, "-P").out == (
        "submission/inet/smtpd_tls_auth_only = yes\nsubmission/inet/mydestination = a, b\n"
    )
    assert run(main, "-c", etc, "-F", "lookup/unix/process_limit").out == "lookup/unix/process_limit = 1\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-n", "-d"], "specify one of -d -n"),
        (["-e", "foo"], "missing '=' after attribute name: \"foo\""),
        (["-e", "=x"], 'missing attribute name: "=x"'),
        (["-e", "#foo=x"], "-e, -X, or -# accepts no comment input"),
        (["-e"], "-e requires name=value argument"),
        (["-X", "a=b"], "specify one of -e -X"),
        (["-C", "foo"], 'unknown -C option value "foo" in "foo"'),
        (["-Mh"], "with option -M, do not specify -h"),
        (["-o", "foo", "x"], "invalid parameter override: foo: missing '=' after attribute name"),
        (["-e", "relayhots=x"], 'relayhots: unknown parameter; did you mean "relayhost"?'),
    ],
)
def test_fatal_errors(etc: Path, arguments: list[str], text: str) -> None:
    assert run(main, "-c", etc, *arguments) == Said(1, "", f"postconf: fatal: {text}\n")


def test_a_directory_without_configuration() -> None:
    assert run(main, "-c", "/nonexistent", "mydomain") == Said(
        1, "", "postconf: fatal: open /nonexistent/main.yaml: No such file or directory\n"
    )


def test_a_change_keeps_everything_else(etc: Path) -> None:
    (etc / "main.yaml").chmod(0o640)
    assert run(main, "-c", etc, "relayhost = [x]:25", "mydestination=a.example, b.example") == Said(0)
    assert (etc / "main.yaml").read_text() == (
        MAIN.replace(
            "mydestination:\n  - $myhostname\n  - localhost  # always\n", "mydestination: a.example, b.example\n"
        ).replace('"[hub.example]:2525"', '"[x]:25"')
    )
    assert (etc / "main.yaml").stat().st_mode & 0o777 == 0o640
    assert load(str(etc))[MYDESTINATION] == ("a.example", "b.example")


def test_a_new_value_goes_to_the_end(etc: Path) -> None:
    assert run(main, "-c", etc, "-e", "soft_bounce=yes") == Said(0)
    assert (etc / "main.yaml").read_text() == MAIN + "soft_bounce: yes\n"


def test_a_parameter_is_removed_or_commented_out(etc: Path) -> None:
    assert run(main, "-c", etc, "-X", "relayhost", "nosuch") == Said(0)
    assert (etc / "main.yaml").read_text() == MAIN.replace('relayhost: "[hub.example]:2525"\n', "")
    assert run(main, "-c", etc, "-#", "mydestination") == Said(0)
    assert "#mydestination:\n#  - $myhostname\n#  - localhost  # always\n\n# last\n" in (etc / "main.yaml").read_text()
    assert load(str(etc))


def test_a_value_of_the_wrong_type_is_refused_and_nothing_is_changed(etc: Path) -> None:
    said = run(main, "-c", etc, "message_size_limit=many")
    assert said == Said(1, "", f"postconf: fatal: {etc}/main.yaml: message_size_limit: a size in bytes was expected\n")
    assert (etc / "main.yaml").read_text() == MAIN


def test_a_file_that_is_no_yaml_is_not_edited(etc: Path) -> None:
    (etc / "main.yaml").write_text("a: [b\n")
    said = run(main, "-c", etc, "relayhost=x")
    assert said.status == 1
    assert "main.yaml, line 2: not YAML" in said.err
    assert (etc / "main.yaml").read_text() == "a: [b\n"


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=40))
def test_any_text_is_written_so_that_it_is_read_back(value: str) -> None:
    value = value.strip()
    text = apply("a: 1\nkey: old\n# end\nb: 2\n", {"key": value}, "main.yaml")
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    found = {key.value: each for key, each in node.value}
    assert found["key"].value == value
    assert (found["a"].value, found["b"].value) == ("1", "2")
    assert "# end\n" in text


@pytest.mark.parametrize(
    "value", ["", "true", "null", "~", "- x", "a: b", "x #y", "#x", "yes", "[::1]", "$myhostname", "*"]
)
def test_values_that_yaml_could_misread(value: str) -> None:
    node = yaml.compose(f"key: {written(value)}\n", Loader=yaml.SafeLoader)
    scalar = node.value[0][1]
    assert scalar.value == value
    assert scalar.style == '"' or value not in ("true", "null", "~", "")


def test_restriction_classes_are_parameters(etc: Path) -> None:
    assert run(main, "-c", etc, "-e", "smtpd_restriction_classes=strict", "strict=reject_non_fqdn_sender").status == 0
    assert run(main, "-c", etc, "strict").out == "strict = reject_non_fqdn_sender\n"
    assert "strict = reject_non_fqdn_sender\n" in run(main, "-c", etc, "-n").out
    assert run(main, "-c", etc, "-e", "strict=reject_rbl_client").status != 0
    assert run(main, "-c", etc, "-e", "strikt=reject").status != 0


TEMPLATES = """\
delay_template = <<EOF
Subject: Wartet

Seit mehr als $delay_warning_time_hours Stunden bei $myhostname.
EOF
failure_template = <<EOF
Subject: kaputt

$no_such_parameter
EOF
"""


def test_bounce_templates_are_shown_as_written_and_as_sent(etc: Path, tmp_path: Path) -> None:
    (tmp_path / "bounce.cf").write_text(TEMPLATES)
    shown = run(main, "-c", etc, "-t", tmp_path / "bounce.cf")
    assert "delay_template = <<EOF\nCharset: us-ascii\n" in shown.out
    assert "Subject: Wartet\n" in shown.out
    assert "$delay_warning_time_hours Stunden bei $myhostname." in shown.out
    assert "success_template = <<EOF\n" in shown.out
    sent = run(main, "-c", etc, "-o", "delay_warning_time=4h", "-b", tmp_path / "bounce.cf")
    assert sent.status == 0
    assert "expanded_delay_text = <<EOF\nSeit mehr als 0 Stunden bei mx.example.com.\nEOF\n" in sent.out
    assert "warning: bounce_template_file: failure_template:" in sent.err
    assert "expanded_failure_text = <<EOF\nThis is the mail system at host mx.example.com." in sent.out


def test_a_template_file_that_is_missing_is_said(etc: Path) -> None:
    shown = run(main, "-c", etc, "-b", "/no/such/file")
    assert "/no/such/file: No such file" in shown.err
    assert "Your message could not be delivered" in shown.out
