"""The directory in state/ of a program that keeps something across restarts and can do without it."""

from __future__ import annotations

import os

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import DATA_DIRECTORY
from pillarbox.lib.system.privileges import resolve_identity

MODE = 0o700
PASSABLE = 0o011
"""state/ belongs to another user: ours must get through it, and sees nothing of what lies there."""


def make_own_directory(config: Config, directory: str, owner: str) -> None:
    """Make `directory` for the user `owner` alone; for `prepare`, as the starting user.  Raises OSError."""
    os.makedirs(directory, MODE, exist_ok=True)
    if os.geteuid() != 0:
        return
    identity = resolve_identity(owner)
    if os.stat(directory).st_uid != identity.uid:
        os.chown(directory, identity.uid, identity.gid)
    os.chmod(directory, MODE)
    state = config[DATA_DIRECTORY]
    if os.path.dirname(directory) == state:
        os.chmod(state, os.stat(state).st_mode & 0o7777 | PASSABLE)
