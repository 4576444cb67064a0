"""`pillarbox check`: find what would keep the suite from starting or working, before start does.

Every finding is one line that says what is wrong, where, and what to do.  Exit status 0 when nothing was found, 78
(EX_CONFIG) otherwise.
"""

from __future__ import annotations

import datetime
import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from pillarbox.commands.check_content import look_at_content
from pillarbox.commands.check_delivery import BUILT_IN_TRANSPORTS, look_at_delivery
from pillarbox.commands.check_passwords import look_at_passwords
from pillarbox.commands.check_screening import look_at_screening
from pillarbox.commands.check_tables import look_at_tables
from pillarbox.commands.check_tls import look_at_certificates
from pillarbox.commands.control import running_pid
from pillarbox.lib.config import Config, ConfigError, load
from pillarbox.lib.config.errors import nearest
from pillarbox.lib.config.oauth import EndpointError, configured_endpoint
from pillarbox.lib.config.parameters.delivery import DELIVERY_DIRECTORY, RETRY
from pillarbox.lib.config.parameters.general import (
    AUTH_OWNER,
    BASE_PORT,
    DATA_DIRECTORY,
    INET_INTERFACES,
    LOOKUP_OWNER,
    MAIL_DIRECTORY,
    MAIL_OWNER,
    NET_OWNER,
    QUEUE_DIRECTORY,
    RUN_DIRECTORY,
    VMAIL_OWNER,
)
from pillarbox.lib.config.parameters.lookup import (
    ALIAS_DATABASE,
    DEFAULT_TRANSPORT,
    LOCAL_TRANSPORT,
    RELAY_TRANSPORT,
    VIRTUAL_TRANSPORT,
)
from pillarbox.lib.config.parameters.mta_sts import MTA_STS_DIRECTORY
from pillarbox.lib.config.parameters.reputation import REPUTATION_DIRECTORY
from pillarbox.lib.config.parameters.smtpd_proxy import SMTPD_UPSTREAM_PROXY_HOSTS, SMTPD_UPSTREAM_PROXY_PROTOCOL
from pillarbox.lib.config.parameters.tlsrpt import TLSRPT_DIRECTORY
from pillarbox.lib.config.parameters.verify import (
    ADDRESS_VERIFY_DEFAULT_TRANSPORT,
    ADDRESS_VERIFY_LOCAL_TRANSPORT,
    ADDRESS_VERIFY_RELAY_TRANSPORT,
    ADDRESS_VERIFY_VIRTUAL_TRANSPORT,
    VERIFY_DIRECTORY,
)
from pillarbox.lib.process.program import load_program
from pillarbox.lib.queue.directories import LOGS, MAILDROP, QUEUES, SPARE
from pillarbox.lib.system.privileges import PrivilegeError, resolve_identity


def check(directory: str) -> int:
    """Print what is wrong with the instance whose configuration is in `directory`."""
    served = ""
    try:
        config = load(directory)
    except ConfigError as error:
        findings = [str(problem) for problem in error.problems]
    else:
        parts = (
            _users,
            _directories,
            _aliases,
            _transports,
            look_at_tables,
            look_at_content,
            look_at_delivery,
            look_at_screening,
            look_at_passwords,
            _proxies,
            _ports,
            _tokens,
            obstacles,
            _programs,
        )
        findings = list(dict.fromkeys(finding for part in parts for finding in part(config)))
        certificates = look_at_certificates(
            config, running=bool(running_pid(config)), now=datetime.datetime.now(datetime.UTC)
        )
        if certificates is not None:
            findings += certificates.findings
            served = str(certificates)
    for finding in findings:
        print(f"pillarbox: {finding}", file=sys.stderr)
    if findings:
        return os.EX_CONFIG
    if served:
        print(f"pillarbox: {served}")
    print("pillarbox: no mistake found")
    return os.EX_OK


def _users(config: Config) -> Iterator[str]:
    if os.getuid() != 0:
        return
    seen: dict[int, str] = {}
    groups: dict[int, list[str]] = {}
    for parameter in (MAIL_OWNER, NET_OWNER, LOOKUP_OWNER, AUTH_OWNER, VMAIL_OWNER):
        try:
            identity = resolve_identity(config[parameter])
        except PrivilegeError as error:
            yield f"{parameter.name}: {error}"
            continue
        if identity.uid == 0:
            yield f"{parameter.name}: no program may run as root; name another user"
        elif identity.uid in seen:
            yield f"{parameter.name}: is the same user as {seen[identity.uid]}; the programs must be kept apart"
        seen[identity.uid] = parameter.name
        groups.setdefault(identity.gid, []).append(parameter.name)
    for names in groups.values():
        if NET_OWNER.name in names and len(names) > 1:
            others = ", ".join(name for name in names if name != NET_OWNER.name)
            yield f"{NET_OWNER.name}: has the group of {others}; give it one of its own"


def obstacles(config: Config) -> Iterator[str]:
    """Why processes could not start, as far as only their program knows; a reload is refused for it."""
    for service in config.services.values():
        yield from load_program(service.command).obstacles(config.for_service(service))


def _tokens(config: Config) -> Iterator[str]:
    try:
        configured_endpoint(config)
    except EndpointError as error:
        yield str(error)


def _programs(config: Config) -> Iterator[str]:
    for service in config.services.values():
        yield from load_program(service.command).mistakes(config.for_service(service))


def _directories(config: Config) -> Iterator[str]:
    spool = config[QUEUE_DIRECTORY]
    wanted = [(f"{spool}/{name}", MAIL_OWNER) for name in (*QUEUES, *LOGS, SPARE, MAILDROP)]
    wanted += [(config[MAIL_DIRECTORY], VMAIL_OWNER), (config[DATA_DIRECTORY], AUTH_OWNER)]
    made_at_start = [
        (config[REPUTATION_DIRECTORY], LOOKUP_OWNER),
        (config[VERIFY_DIRECTORY], MAIL_OWNER),
        (config[DELIVERY_DIRECTORY], MAIL_OWNER),
        (config[MTA_STS_DIRECTORY], NET_OWNER),
        (config[TLSRPT_DIRECTORY], NET_OWNER),
    ]
    wanted += [each for each in made_at_start if os.path.lexists(each[0])]
    for path, owner in wanted:
        try:
            status = os.lstat(path)
        except OSError as error:
            yield f"{path}: {error.strerror}; pillarbox init makes it"
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield f"{path}: is not a directory"
            continue
        try:
            uid = resolve_identity(config[owner]).uid if os.getuid() == 0 else os.getuid()
        except PrivilegeError:
            continue
        if status.st_uid != uid:
            yield f"{path}: belongs to uid {status.st_uid}, not to {owner.name} ({uid}); chown it"
        if not path.endswith(MAILDROP) and status.st_mode & 0o022:
            yield f"{path}: others may write into it (mode {stat.S_IMODE(status.st_mode):o}); chmod go-w it"
    for path in (config[RUN_DIRECTORY],):
        if not os.access(path, os.W_OK):
            yield f"{path}: cannot be written to; run this as root or as the instance's owner"


def _aliases(config: Config) -> Iterator[str]:
    for table in config[ALIAS_DATABASE]:
        kind, _, name = table.partition(":")
        source = Path(name)
        built = Path(f"{name}.cdb")
        if kind not in ("hash", "btree", "cdb"):
            continue
        if not source.exists():
            yield f"{source}: there is no such alias file ({ALIAS_DATABASE.name})"
        elif not built.exists():
            yield f"{built}: does not exist; run newaliases"
        elif built.stat().st_mtime < source.stat().st_mtime:
            yield f"{built}: is older than {source.name}; run newaliases"


def _proxies(config: Config) -> Iterator[str]:
    for service in config.services.values():
        view = config.for_service(service)
        if service.command == "smtpd" and view[SMTPD_UPSTREAM_PROXY_PROTOCOL] and not view[SMTPD_UPSTREAM_PROXY_HOSTS]:
            mistake, cure = SMTPD_UPSTREAM_PROXY_PROTOCOL.name, SMTPD_UPSTREAM_PROXY_HOSTS.name
            yield f"{service.name}: {mistake} is set; name the proxies in {cure}"


def _ports(config: Config) -> Iterator[str]:
    if running_pid(config):
        return
    for service in config.services.values():
        view = config.for_service(service)
        names = view[INET_INTERFACES]
        address = "127.0.0.1" if "loopback-only" in names else "0.0.0.0" if "all" in names or not names else names[0]
        for host, port in service.inet:
            number = view[BASE_PORT] + port
            where = host or address.strip("[]")
            family = socket.AF_INET6 if ":" in where else socket.AF_INET
            try:
                with socket.socket(family) as trial:
                    trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    trial.bind((where, number))
            except OSError as error:
                yield f"{service.name}: cannot listen on {where} port {number}: {error.strerror}"
            except OverflowError:
                yield f"{service.name}: there is no port {number}; choose a smaller base_port"


def _transports(config: Config) -> Iterator[str]:
    known = [*config.services, *BUILT_IN_TRANSPORTS]
    usual = (LOCAL_TRANSPORT, VIRTUAL_TRANSPORT, RELAY_TRANSPORT, DEFAULT_TRANSPORT)
    probing = tuple(
        parameter
        for parameter in (
            ADDRESS_VERIFY_LOCAL_TRANSPORT,
            ADDRESS_VERIFY_VIRTUAL_TRANSPORT,
            ADDRESS_VERIFY_RELAY_TRANSPORT,
            ADDRESS_VERIFY_DEFAULT_TRANSPORT,
        )
        if parameter.name in config.values
    )
    for parameter in (*usual, *probing):
        name = config[parameter].partition(":")[0]
        if name not in known:
            yield f'{parameter.name}: master.yaml has no service "{name}"{nearest(name, known)}'
    for name in config[RETRY].transports:
        if name not in config.services:
            yield f'{RETRY.name}: {name}: master.yaml has no service "{name}"{nearest(name, config.services)}'
