"""The auth program: what it may reach, and how it starts."""

from __future__ import annotations

import os

from pillarbox.auth.authority import Authority
from pillarbox.auth.service import AuthService
from pillarbox.auth.users import UserDirectory
from pillarbox.lib.accounts import AccountDatabase, AccountsUnavailable
from pillarbox.lib.accounts.database import database_files
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_DATABASE, AUTH_SYSTEM_USERS
from pillarbox.lib.config.parameters.general import AUTH_OWNER, NET_OWNER
from pillarbox.lib.config.parameters.oauth import OAUTH_INTROSPECTION_URL
from pillarbox.lib.log import log
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.system.privileges import PrivilegeError, resolve_identity

READ_BUSY_TIMEOUT = 1.0
"""Seconds the event loop may stand still while a writer commits; a commit takes milliseconds."""


def confinement(config: Config) -> Confinement:
    """Only the database, no network, nothing executed.

    Checking system users reaches further: PAM modules read, write and run what they like, shadow reads /etc (the file
    is replaced at every change, so a rule for it alone would go stale).
    """
    database = database_files(config[AUTH_DATABASE])
    match config[AUTH_SYSTEM_USERS]:
        case "pam":
            return Confinement(
                read=("/",), write=(*database, "/run", "/var/lib", "/var/log"), connect_tcp=None, udp=True, exec=True
            )
        case "shadow":
            return Confinement(read=("/etc",), write=database, fork=False)
        case _:
            # Whose a bearer token is, is asked of the service oauth.
            return Confinement(write=database, unix=bool(config[OAUTH_INTROSPECTION_URL]), fork=False)


def prepare(worker: Worker) -> None:
    """Make the database where it does not exist, with the right owner: later the process can make no files."""
    owner = None
    if os.geteuid() == 0:
        identity = resolve_identity(worker.config[AUTH_OWNER])
        owner = (identity.uid, identity.gid)
    try:
        AccountDatabase.open(worker.config[AUTH_DATABASE], create=True, owner=owner).close()
    except AccountsUnavailable as error:
        log.fatal(str(error))
        raise SystemExit(1) from None


def login_uid(config: Config) -> int | None:
    """The uid of the login parts, which may not redeem tokens; None where everything runs as one user."""
    try:
        uid = resolve_identity(config[NET_OWNER]).uid
    except PrivilegeError:
        return None
    return None if uid == os.geteuid() else uid


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    config = worker.config
    if worker.service.processes > 1:
        log.warning(f'service "{worker.service.name}": processes must be 1, tokens live in the memory of one process')
    with AccountDatabase.open(config[AUTH_DATABASE], timeout=READ_BUSY_TIMEOUT) as database:
        users = UserDirectory(config, database)
        if users.system_users and os.geteuid() != 0:
            users.system_users = False
            log.warning(
                f"{AUTH_SYSTEM_USERS.name} = {config[AUTH_SYSTEM_USERS]}: system users cannot log in, because the "
                f'service "{worker.service.name}" does not run as root (user: root in master.yaml)'
            )
        authority = Authority(config, users, database)
        service = AuthService(config, authority, login_uid(config))
        try:
            serve_channels(worker, service.serve)
        finally:
            authority.checker.close()


PROGRAM = Program(name="auth", owner="auth_owner", confinement=confinement, prepare=prepare, run=run)
