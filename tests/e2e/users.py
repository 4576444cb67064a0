"""An instance with system users of its own: master runs in a mount namespace with a passwd file that names them.

Needs root. The users exist nowhere else; their uids are numbers that Debian leaves to no one.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from tests.lab.instance import Instance

FIRST_UID = 54400
NOBODY = 65534


class UserInstance(Instance):
    """An instance for which the given names are system users with homes of their own."""

    def __init__(self, names: Sequence[str], **options: object) -> None:
        """`names` are the users; the other options are those of Instance."""
        if os.geteuid() != 0:
            raise AssertionError("system users of a test's own need root, for a mount namespace")
        super().__init__(**options)  # type: ignore[arg-type]
        self.uids = {name: FIRST_UID + number for number, name in enumerate(names)}
        (self.directory / "home").mkdir()
        lines = [line for line in Path("/etc/passwd").read_text().splitlines() if line]
        for name, uid in self.uids.items():
            home = self.home(name)
            home.mkdir()
            os.chown(home, uid, uid)
            home.chmod(0o755)
            lines.append(f"{name}:x:{uid}:{uid}:{name.title()} Person:{home}:/bin/sh")
        self._passwd = self.directory / "passwd"
        self._passwd.write_text("\n".join(lines) + "\n")
        self._passwd.chmod(0o644)
        spool = self.directory / "var-mail"
        spool.mkdir()
        spool.chmod(0o1777)
        self.settings.setdefault("mail_spool_directory", str(spool))

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command, run where the passwd file is ours."""
        mount = f"mount --bind {shlex.quote(str(self._passwd))} /etc/passwd"
        script = f'{mount} && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", *super().command(arguments)]

    def home(self, name: str) -> Path:
        """A user's home directory."""
        return self.directory / "home" / name

    def spool_file(self, name: str) -> bytes:
        """A user's mbox in mail_spool_directory; b"" where there is none yet."""
        path = self.directory / "var-mail" / name
        return path.read_bytes() if path.exists() else b""

    def write(self, name: str, file: str, text: str, mode: int = 0o644) -> Path:
        """Put a file into a user's home, as that user's."""
        path = self.home(name) / file
        path.write_text(text)
        path.chmod(mode)
        os.chown(path, self.uids[name], self.uids[name])
        return path
