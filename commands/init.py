"""`pillarbox init`: make the directory of a new instance, with configuration, certificate, queue and accounts.

As root, the suite's users are those named pillarbox, pillarbox-net, ... where the machine has them; else numbers that
no user has, which is all that the kernel needs to keep the programs apart.
"""

from __future__ import annotations

import datetime
import os
import pwd
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pillarbox.lib.accounts import AccountDatabase, AccountsError
from pillarbox.lib.config import Config, load
from pillarbox.lib.config.parameters.auth import AUTH_DATABASE
from pillarbox.lib.config.parameters.delivery import DELIVERY_DIRECTORY
from pillarbox.lib.config.parameters.general import (
    AUTH_OWNER,
    DATA_DIRECTORY,
    LOOKUP_OWNER,
    MAIL_DIRECTORY,
    MAIL_OWNER,
    NET_OWNER,
    QUEUE_DIRECTORY,
    VMAIL_OWNER,
)
from pillarbox.lib.config.parameters.mta_sts import MTA_STS_DIRECTORY
from pillarbox.lib.config.parameters.reputation import REPUTATION_DIRECTORY
from pillarbox.lib.config.parameters.tlsrpt import TLSRPT_DIRECTORY
from pillarbox.lib.config.parameters.verify import VERIFY_DIRECTORY
from pillarbox.lib.queue import Queue
from pillarbox.lib.system.privileges import resolve_identity
from pillarbox.lib.tls.certificate import write_certificate

OWNERS = (MAIL_OWNER, NET_OWNER, LOOKUP_OWNER, AUTH_OWNER, VMAIL_OWNER)
FIRST_FREE_UID, LAST_FREE_UID = 61000, 61183
"""Where numbers for users without a name are taken from: above people's, below those that systemd gives out."""

HIGHEST_BASE_PORT = 60000
"""As the parameter base_port allows."""

_HOSTNAME = re.compile(r"(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9-]{1,63}")


class InitFailed(Exception):
    """Why no instance was made, and what to do."""


def choose_owners() -> dict[str, str]:
    """The suite's users, by parameter name."""
    if os.getuid() != 0:
        caller = str(os.getuid())
        return {parameter.name: caller for parameter in OWNERS}
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    names = {entry.pw_name for entry in pwd.getpwall()}
    free = (uid for uid in range(FIRST_FREE_UID, LAST_FREE_UID) if uid not in taken)
    owners = {}
    for parameter in OWNERS:
        default = parameter.default_raw()
        owners[parameter.name] = default if isinstance(default, str) and default in names else str(next(free))
    return owners


def set_values(text: str, values: dict[str, str]) -> str:
    """The text of a main.yaml with parameters set, each at the place where its default stands."""
    for name, value in values.items():
        quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        line = f"{name}: {quoted}"
        pattern = re.compile(rf"^#?{re.escape(name)}:.*$", re.MULTILINE)
        text, count = pattern.subn(line.replace("\\", r"\\"), text, count=1)
        if not count:
            text += f"{line}\n"
    return text


def make_instance(
    root: Path, hostname: str | None, domains: Sequence[str], base_port: int, users: Sequence[str]
) -> Config:
    """Make the instance; returns its configuration.  Raises InitFailed, OSError."""
    if hostname and not _HOSTNAME.fullmatch(hostname):
        raise InitFailed(f'"{hostname}" is not a host name')
    for domain in domains:
        if not _HOSTNAME.fullmatch(domain):
            raise InitFailed(f'"{domain}" is not a domain name')
    accounts = []
    for user in users:
        address, colon, password = user.partition(":")
        if not colon or not password or "@" not in address:
            raise InitFailed(f'--user "{address}" needs the form ADDRESS:PASSWORD')
        accounts.append((address, password))
    if not 0 <= base_port <= HIGHEST_BASE_PORT:
        raise InitFailed(f"--base-port must be from 0 to {HIGHEST_BASE_PORT}")
    etc = root / "etc"
    if (etc / "main.yaml").exists():
        raise InitFailed(f"there is an instance in {root} already")
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    root.chmod(0o755)
    for name in ("etc", "run", "log"):
        (root / name).mkdir(exist_ok=True)
        (root / name).chmod(0o755)
    values = {"instance_directory": str(root).replace("$", "$$"), **choose_owners()}
    if hostname:
        values["myhostname"] = hostname
        values["mydomain"] = hostname.partition(".")[2] or hostname
    if domains:
        values["virtual_mailbox_domains"] = ", ".join(["accounts:", *domains])
    if base_port:
        values["base_port"] = str(base_port)
        values["inet_interfaces"] = "127.0.0.1"
    shipped = _shipped()
    (etc / "main.yaml").write_text(set_values((shipped / "main.yaml").read_text(), values))
    for name in ("master.yaml", "aliases"):
        (etc / name).write_text((shipped / name).read_text())
    for name in ("main.yaml", "master.yaml", "aliases"):
        (etc / name).chmod(0o644)
    try:
        return _complete(etc, hostname, accounts)
    except BaseException:
        (etc / "main.yaml").unlink()  # so that init can be called again
        raise


def _complete(etc: Path, hostname: str | None, accounts: Sequence[tuple[str, str]]) -> Config:
    """All that the configuration of a new instance names."""
    config = load(str(etc))
    _make_directories(config)
    tls = etc / "tls"
    tls.mkdir(exist_ok=True)
    tls.chmod(0o755)
    write_certificate_files(tls, hostname or "localhost")
    _build_aliases(etc)
    try:
        with AccountDatabase.open(config[AUTH_DATABASE], create=True, owner=_owner(config, AUTH_OWNER)) as database:
            for address, password in accounts:
                database.add(address, password)
    except AccountsError as error:
        raise InitFailed(str(error)) from None
    return config


def _shipped() -> Path:
    import pillarbox.etc as shipped

    return Path(next(iter(shipped.__path__)))


def _owner(config: Config, parameter: object) -> tuple[int, int] | None:
    if os.getuid() != 0:
        return None
    identity = resolve_identity(config[parameter])  # type: ignore[index]
    return identity.uid, identity.gid


def _make_directories(config: Config) -> None:
    mail_owner = _owner(config, MAIL_OWNER) or (-1, -1)
    Queue(config[QUEUE_DIRECTORY]).create(*mail_owner)
    for directory, parameter, mode in (
        (MAIL_DIRECTORY, VMAIL_OWNER, 0o700),
        (DATA_DIRECTORY, AUTH_OWNER, 0o711),  # on the way to the next one, whose owner sees nothing else of it
        (REPUTATION_DIRECTORY, LOOKUP_OWNER, 0o700),
        (VERIFY_DIRECTORY, MAIL_OWNER, 0o700),
        (DELIVERY_DIRECTORY, MAIL_OWNER, 0o700),
        (MTA_STS_DIRECTORY, NET_OWNER, 0o700),
        (TLSRPT_DIRECTORY, NET_OWNER, 0o700),
    ):
        path = Path(config[directory])
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(mode)
        if owner := _owner(config, parameter):
            os.chown(path, *owner)


def write_certificate_files(directory: Path, hostname: str) -> None:
    """The self-signed certificate of a new instance."""
    write_certificate(directory / "cert.pem", directory / "key.pem", hostname, now=datetime.datetime.now(datetime.UTC))


def _build_aliases(etc: Path) -> None:
    from pillarbox.commands.postalias import main as postalias

    postalias(["-c", str(etc), f"hash:{etc}/aliases"])


def init(root: str, hostname: str | None, domains: Sequence[str], base_port: int, users: Sequence[str]) -> int:
    """The command."""
    path = Path(root).absolute()
    try:
        make_instance(path, hostname, domains, base_port, users)
    except InitFailed as error:
        print(f"pillarbox init: {error}", file=sys.stderr)
        return os.EX_USAGE
    print(f"Made an instance in {path}.  Start it with:  pillarbox -c {path}/etc start")
    return os.EX_OK
