"""Attackers inside every program: what its room does not need, the kernel denies it.

One instance runs with attackers in all its workers; each test looks at what came of one attack in one service.
"""

from __future__ import annotations

import contextlib
import imaplib
import os
import poplib
import pwd
import signal
import smtplib
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping

import pytest
import yaml

from pillarbox.lib.ipc import Channel
from pillarbox.lib.login.handover import SessionRequest
from pillarbox.lib.system.landlock import abi_version
from tests.breach.attacks import ATTACKS, DENIED, SUCCEEDED
from tests.breach.rooms import BY_USER, CHILDREN, OWNERS_CHILD, ROOMS, SERVICE_ROOMS, SINCE_ABI, Room
from tests.breach.stage import REPOSITORY, Stage
from tests.breach.world import ALIAS, READER, RELAY_PASSWORDS, TABLE_PASSWORD, VIRTUAL_ALIAS
from tests.lab.sinks import SmtpSink

SERVICES: dict[str, str] = {
    name: service["command"]
    for name, service in yaml.safe_load((REPOSITORY / "etc" / "master.yaml").read_text()).items()
}
ALONE = {
    "smtp-alone": {
        "command": "smtp_client",
        "listen": "private",
        "options": {"smtp_mta_sts": "no", "smtp_tlsrpt_enable": "no"},
    }
}
"""Services that the shipped file does not have, because of their options."""
LOGGING_IN = {
    "smtp_sasl_auth_enable": "yes",
    "smtp_sasl_password_maps": f"texthash:$instance_directory/{RELAY_PASSWORDS}",
}
SERVICES |= dict.fromkeys(ALONE, "smtp_client")
ROOM_OF = {name: SERVICE_ROOMS.get(name, ROOMS[command]) for name, command in SERVICES.items()}
ATTACKED = [name for name, room in ROOM_OF.items() if not room.parent]

PIPE_USER, SESSION_USER, NOBODY, STARTER, MAILBOX_OWNER = 61501, 61502, 65534, 61503, 61504
"""Users without a name; STARTER starts an instance of its own."""
PORTS = {
    "smtpd": 25,
    "submission": 587,
    "submissions": 465,
    "lmtpd": 24,
    "imap-login": 143,
    "imaps-login": 993,
    "pop3-login": 110,
    "pop3s-login": 995,
    "managesieve-login": 4190,
}
FORWARDER = "games"
"""A user that every Debian has, whose forward file the tests write."""

PROBE = """#!/bin/sh
# Says what it is and what it can reach.
exec >"{report}.$$" 2>/dev/null
grep -E '^(Uid|Gid|Groups|CapBnd|CapPrm):' /proc/self/status
for number in /proc/$$/fd/*; do echo "descriptor ${{number##*/}}"; done
for path in etc/tls/key.pem state/accounts.sqlite spool/hold/victim spool/private/lookup home/other/victim \\
    mail/example.org/bob/new/victim log/mail.log spool/maildrop/.victim; do
    if test -r "{root}/$path" || test -w "{root}/$path"; then echo "reaches $path"; fi
done
if test -r /etc/shadow; then echo "reaches shadow"; fi
if kill -0 {master}; then echo "reaches master"; fi
for place in etc run log state mail spool/incoming spool/hold spool/private; do
    if touch "{root}/$place/.probe"; then echo "reaches $place"; rm -f "{root}/$place/.probe"; fi
done
echo done
"""


def _judge(who: str, room: Room, outcomes: Mapping[str, str], attacks: Iterable[str] = ATTACKS) -> None:
    """All attacks on one target; one test, because there are eleven thousand pairs."""
    wrong, too_new = [], []
    for attack in attacks:
        outcome = outcomes[attack]
        if attack in room.may:
            if not outcome.startswith(SUCCEEDED):
                wrong.append(f"{attack}: {who} may do this by the table, but cannot ({outcome}): narrow the table")
        elif not _denied(attack, outcome):
            if outcome.startswith(SUCCEEDED) and abi_version() < SINCE_ABI.get(attack, 0):
                too_new.append(attack)
            else:
                wrong.append(f"{attack}: an attacker inside {who}: {outcome}")
    assert not wrong, "\n".join(wrong)
    if too_new:
        pytest.skip(f"this kernel's Landlock (ABI {abi_version()}) is too old to deny {', '.join(too_new)}")


def _denied(attack: str, outcome: str) -> bool:
    allowed = {"EPERM", "EACCES"}
    if attack == "link-message":
        allowed.add("EXDEV")  # how Landlock denies a link across the border of what may be written (landlock(7))
    if attack.endswith(("inherited-log", "inherited-log-by-flag")):
        allowed.add("EBADF")  # nothing was inherited
    return outcome.startswith(DENIED) and outcome.removeprefix(DENIED) in allowed


def _pipe(user: dict[str, str], option: str, probe: str) -> dict[str, object]:
    command = f"{option}argv=/bin/sh OUTSIDE/{probe}"
    return {"command": "pipe", "listen": "private", **user, "options": {"pipe_command": command}}


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as made:
        yield made


@pytest.fixture(scope="module")
def stage(sink: SmtpSink) -> Iterator[Stage]:
    if os.geteuid() != 0:
        pytest.skip("only root can start an instance with a user for each room")
    made = Stage(
        list(SERVICES),
        main={
            "forward_path": "OUTSIDE/forward-$user",
            # Nothing listens there; that the room is confined to this port is what matters.
            "non_smtpd_milters": "{ inet:127.0.0.1:9, default_action=accept }",
            "oauth_introspection_url": "https://as.example/introspect",
            "smtp_tlsrpt_enable": "yes",
            # Sessions and virtual may reach this port, where nothing listens, and no other.
            "mail_location_domains": "{by-database.example: 'pgsql:postgresql://mail@127.0.0.1:9/mail#%u'}",
            **LOGGING_IN,
            # lookup has read the password in this file, but cannot read it again; no user here needs the table.
            "fallback_transport_maps": f"mysql:$instance_directory/{TABLE_PASSWORD}",
            "mail_spool_directory": "OUTSIDE/spool/",
            "virtual_alias_maps": f"inline:{{{VIRTUAL_ALIAS}=bob@example.org}}",
            "relay_domains": "by-service.example, by-option.example, out.example",
            "transport_maps": "inline:{by-service.example=by-service:, by-option.example=by-option:, "
            f"out.example=smtp:{sink.nexthop}}}",
        },
        further={
            **ALONE,
            "by-service": _pipe({"user": str(PIPE_USER)}, "", "probe-service"),
            "by-option": _pipe({}, f"user={PIPE_USER} ", "probe-option"),
        },
        aliases=[f'{ALIAS}: "|/bin/sh OUTSIDE/probe-alias"'],
        users=[NOBODY, SESSION_USER, pwd.getpwnam(FORWARDER).pw_uid],
    )
    with made:
        _write_probes(made)
        yield made


def _write_probes(stage: Stage) -> None:
    for name in ("alias", "forward", "service", "option", "root"):
        path = stage.outside / f"probe-{name}"
        report = stage.outside / f"probed-{name}"
        path.write_text(PROBE.format(root=stage.root, master=stage.process.pid, report=report))
        path.chmod(0o755)
    forward = stage.outside / f"forward-{FORWARDER}"
    forward.write_text(f'"|/bin/sh {stage.outside}/probe-forward"\n')
    os.chown(forward, pwd.getpwnam(FORWARDER).pw_uid, -1)
    forward.chmod(0o644)


def _send(stage: Stage, recipient: str) -> None:
    with smtplib.SMTP("127.0.0.1", stage.port("smtp"), timeout=30) as client:
        client.sendmail("sender@example.org", [recipient], "Subject: probe\r\n\r\nhello\r\n")


def _probed(stage: Stage, name: str) -> list[str]:
    """What a probe said of itself."""

    def reports() -> list[list[str]]:
        found = [path.read_text().splitlines() for path in stage.outside.glob(f"probed-{name}.*")]
        return [lines for lines in found if lines[-1:] == ["done"]]

    stage.wait_for(reports)
    return reports()[0]


# --- the programs


def test_every_program_of_master_yaml_has_a_room() -> None:
    assert set(SERVICES.values()) == set(ROOMS)


def test_every_private_socket_is_tried() -> None:
    shipped = yaml.safe_load((REPOSITORY / "etc" / "master.yaml").read_text())
    private = {name for name, service in shipped.items() if "private" in service.get("listen", "private")}
    assert {f"connect-{name}" for name in private} <= set(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_attack_is_real(stage: Stage, attack: str) -> None:
    """As root and not confined it succeeds; so where it is denied, it is denied by confinement."""
    assert stage.outcomes["control"][attack].startswith(SUCCEEDED)


@pytest.mark.parametrize("service", ATTACKED)
def test_inside(stage: Stage, service: str) -> None:
    _judge(service, ROOM_OF[service], stage.outcomes[service])


@pytest.mark.parametrize("service", ATTACKED)
def test_a_worker_has_its_own_user_and_the_group_of_the_suite_only(stage: Stage, service: str) -> None:
    (mail_owner, *_), *_ = stage.reported("cleanup", "ids")
    for ids, groups in zip(stage.reported(service, "ids"), stage.reported(service, "groups"), strict=True):
        assert len(set(ids)) == 1 and ids[0] != 0
        assert groups == [mail_owner]


def test_the_rooms_have_different_users(stage: Stage) -> None:
    users = {
        service: stage.reported(service, "ids")[0][0] for service in ("smtpd", "cleanup", "lookup", "auth", "imap")
    }
    assert len(set(users.values())) == len(users)


@pytest.mark.parametrize("service", SERVICES)
def test_a_worker_holds_no_descriptor_of_another_service(stage: Stage, service: str) -> None:
    _check_descriptors(stage, service)


def _check_descriptors(stage: Stage, service: str) -> None:
    """Standard three, the log, its own listener, the status socket, what it prepared; not master's lock."""
    allowed = {str(stage.root / "log" / "mail.log"): "w"}
    if SERVICES[service] in ("cleanup", "cleanup.virtual"):  # to sync them; what is in active/ stays out of reach
        allowed |= {str(stage.root / "spool" / name): "r" for name in ("active", "hold", "spare")}
    if SERVICES[service] == "lookup":
        allowed[str(stage.root / "etc" / "aliases.cdb")] = "r"
    for descriptors in stage.reported(service, "descriptors"):
        held = [each for each in descriptors if each[0] > 2]
        files = [(name, ways) for _, kind, name, ways in held if kind == "file"]
        assert set(files) == set(allowed.items())
        assert len([name for name, ways in files if ways == "w"]) == 1, "the log is open once"
        assert [name for _, kind, name, _ in held if kind == "socket"] == [""], "the status socket, and no other"
        (listener,) = (name for _, kind, name, _ in held if kind == "listener")
        assert listener.endswith(f"/{service}") or listener == f"127.0.0.1:{stage.base_port + PORTS[service]}"


def test_no_two_services_share_a_listener(stage: Stage) -> None:
    holders: dict[str, set[str]] = {}
    for service in SERVICES:
        for descriptors in stage.reported(service, "descriptors"):
            for _, kind, name, _ in descriptors:
                if kind == "listener":
                    holders.setdefault(name, set()).add(service)
    assert all(len(services) == 1 for services in holders.values()), holders


def test_after_the_attacks_mail_goes_out(stage: Stage, sink: SmtpSink) -> None:
    _send(stage, "someone@out.example")
    stage.wait_for(lambda: sink.received("someone@out.example"))


def test_after_the_attacks_mail_is_delivered_and_read(stage: Stage) -> None:
    _send(stage, READER)
    stage.wait_for(lambda: f"to=<{READER}>" in stage.log())
    with contextlib.closing(poplib.POP3("127.0.0.1", stage.port("pop3"), timeout=30)) as client:
        client.user(READER)
        client.pass_("secret")
        assert b"hello" in client.retr(1)[1]
    with imaplib.IMAP4("127.0.0.1", stage.port("imap"), timeout=30) as imap:
        imap.login(READER, "secret")
        assert imap.select()[1] == [b"1"]


# --- what runs for a user


@pytest.mark.parametrize(
    ("probe", "recipient", "uid", "groups"),
    [
        ("alias", "trap@mx.example.org", NOBODY, None),
        ("forward", f"{FORWARDER}@mx.example.org", pwd.getpwnam(FORWARDER).pw_uid, None),
        ("service", "someone@by-service.example", PIPE_USER, []),
        ("option", "someone@by-option.example", PIPE_USER, []),
    ],
)
def test_a_command_has_the_rights_of_its_user_only(
    stage: Stage, probe: str, recipient: str, uid: int, groups: list[int] | None
) -> None:
    _send(stage, recipient)
    said = _probed(stage, probe)
    status = dict(line.split(":\t", 1) for line in said if ":\t" in line)
    assert status["Uid"].split() == [str(uid)] * 4
    if groups is None:
        entry = pwd.getpwuid(uid)
        groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    assert set(map(int, status["Groups"].split())) <= {*groups, int(status["Gid"].split()[0])}
    assert {status["CapPrm"], status["CapBnd"]} == {"0" * 16}
    descriptors = {int(line.split()[1]) for line in said if line.startswith("descriptor ")}
    # 10 is the script; the lowest free one the directory that is being listed: 3, unless 3 was inherited.
    assert descriptors - {10} == {0, 1, 2, 3}
    assert [line for line in said if line.startswith("reaches")] == []


def test_the_probe_of_commands_is_real(stage: Stage) -> None:
    subprocess.run(["/bin/sh", str(stage.outside / "probe-root")], check=True, stdin=subprocess.DEVNULL)
    assert len([line for line in _probed(stage, "root") if line.startswith("reaches")]) == 18


@pytest.fixture(scope="module")
def children(stage: Stage) -> Stage:
    """The stage when a child of each root parent has been attacked."""
    _send(stage, f"{FORWARDER}@mx.example.org")
    _send(stage, "trap@mx.example.org")
    home = stage.root / "home" / "own"
    home.mkdir(mode=0o700)
    os.chown(home, SESSION_USER, SESSION_USER)
    request = SessionRequest(str(SESSION_USER), "other", "PLAIN", "127.0.0.1", "127.0.0.1", False, extra={"tag": "a"})
    clients = []
    for service in ("imap-system", "pop3-system", "managesieve-system"):
        ours, theirs = socket.socketpair()
        channel = Channel.connect(f"{stage.root}/spool/private/{service}", 30)
        channel.send(request.encode(), (theirs.fileno(),))
        assert channel.receive(30).boolean("ok")
        theirs.close()
        clients.append(ours)
    for child in CHILDREN:
        stage.wait_for_child(child)
    return stage


@pytest.mark.parametrize("child", CHILDREN)
def test_inside_a_child(children: Stage, child: str) -> None:
    _judge(child, CHILDREN[child], children.outcomes[child])


@pytest.mark.parametrize(
    ("child", "uid"),
    [
        ("local-child", NOBODY),
        ("local-deliverer-nobody", NOBODY),
        (f"local-deliverer-{FORWARDER}", pwd.getpwnam(FORWARDER).pw_uid),
        ("imap-system-child", SESSION_USER),
        ("pop3-system-child", SESSION_USER),
        ("managesieve-system-child", SESSION_USER),
    ],
)
def test_a_child_is_its_user_without_the_group_of_the_suite(children: Stage, child: str, uid: int) -> None:
    (mail_owner, *_), *_ = children.reported("cleanup", "ids")
    for ids, groups in zip(children.reported(child, "ids"), children.reported(child, "groups"), strict=True):
        assert ids[:3] == [uid] * 3
        assert mail_owner not in groups


@pytest.mark.parametrize("child", CHILDREN)
def test_a_child_holds_nothing_of_its_parent(children: Stage, child: str) -> None:
    """Its standard three, the socket to the parent or client, and for sessions the log."""
    for descriptors in children.reported(child, "descriptors"):
        sockets = 0
        for number, kind, name, ways in descriptors:
            if number <= 2:
                continue
            assert kind != "listener", name
            if kind == "socket":
                sockets += 1
            else:
                assert (name, ways) == (str(children.root / "log" / "mail.log"), "w")
        # The expander has its connections to lookup and cleanup besides, two of them to cleanup.
        assert sockets <= (4 if child == "local-child" else 1), descriptors


def test_workers_after_a_reload_hold_no_more(children: Stage) -> None:
    """They are forked from a master that has run for a while, with children, clients and an older log."""
    before = {service: len(children.reported(service, "descriptors")) for service in SERVICES}
    children.process.send_signal(signal.SIGHUP)
    children.wait_for(
        lambda: all(len(children.reported(service, "descriptors")) > before[service] for service in SERVICES)
    )
    for service in SERVICES:
        _check_descriptors(children, service)


# --- an instance whose mailboxes have owners


@pytest.fixture(scope="module")
def owned() -> Iterator[Stage]:
    """The stage when the process that delivers as a mailbox's owner has been attacked."""
    if os.geteuid() != 0:
        pytest.skip("only root can deliver as several users")
    maps = {"virtual_uid_maps": f"inline:{{{READER}={MAILBOX_OWNER}}}", "virtual_gid_maps": f"static:{MAILBOX_OWNER}"}
    with Stage(["virtual"], main=maps, users=[MAILBOX_OWNER]) as made:
        _send(made, READER)
        made.wait_for_child("virtual-child")
        yield made


def test_inside_the_delivery_of_a_mailboxs_owner(owned: Stage) -> None:
    _judge("virtual-child", OWNERS_CHILD, owned.outcomes["virtual-child"])


def test_the_delivery_of_a_mailboxs_owner_is_that_user_and_holds_a_socket_only(owned: Stage) -> None:
    for ids, groups in zip(
        owned.reported("virtual-child", "ids"), owned.reported("virtual-child", "groups"), strict=True
    ):
        assert (ids, groups) == ([MAILBOX_OWNER] * 6, [])
    for descriptors in owned.reported("virtual-child", "descriptors"):
        assert [kind for number, kind, *_ in descriptors if number > 2] == ["socket"]


def test_after_the_attacks_it_delivers(owned: Stage) -> None:
    owned.wait_for(lambda: f"to=<{READER}>" in owned.log() and "status=sent" in owned.log())
    local, _, domain = READER.partition("@")
    (file,) = (owned.root / "mail" / domain / local / "new").iterdir()
    assert file.stat().st_uid == MAILBOX_OWNER


# --- an instance of an ordinary user


@pytest.fixture(scope="module")
def unprivileged() -> Iterator[Stage]:
    uid = STARTER if os.geteuid() == 0 else 0
    with Stage(list(SERVICES), uid=uid, main=LOGGING_IN, further=ALONE) as made:
        yield made


@pytest.mark.parametrize("service", ATTACKED)
def test_inside_an_instance_of_an_ordinary_user(unprivileged: Stage, service: str) -> None:
    """No attack that this user's own programs could carry out, unless one uid for all makes the difference."""
    room = ROOM_OF[service]
    attacks = [attack for attack in ATTACKS if attack not in BY_USER and attack not in room.may]
    _judge(service, room, unprivileged.outcomes[service], attacks)


def test_an_attack_that_succeeds_is_seen() -> None:
    denied = dict.fromkeys(ATTACKS, f"{DENIED}EPERM")
    attack = next(attack for attack in ATTACKS if attack not in SINCE_ABI)
    _judge("nobody", Room(), denied)
    with pytest.raises(AssertionError, match=f"{attack}: an attacker inside nobody"):
        _judge("nobody", Room(), denied | {attack: f"{SUCCEEDED}read"})
    with pytest.raises(AssertionError, match=f"{attack}: nobody may do this by the table, but cannot"):
        _judge("nobody", Room(may=frozenset({attack})), denied)


def test_most_attacks_are_real_for_an_ordinary_user_too(unprivileged: Stage) -> None:
    real = [attack for attack, outcome in unprivileged.outcomes["control"].items() if outcome.startswith(SUCCEEDED)]
    assert len(real) > 0.8 * len(ATTACKS)
