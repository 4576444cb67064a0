"""One foreign program tree, unpacked but not installed, and how its programs are run from there.

An unpacked tree is not where its programs expect themselves to be: the environment names its libraries and modules,
and for the few that have a directory compiled in, `in_place` runs the command in a mount namespace of its own in
which the tree lies over `/usr` (this needs root).
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PROGRAM_PLACES = (
    "usr/bin",
    "usr/sbin",
    "bin",
    "sbin",
    "usr/games",
    "usr/lib/postfix/sbin",
    "usr/lib/dovecot",
    "usr/lib/exim4",
    "usr/lib/thunderbird",
)
_DEFAULT_TIMEOUT = 60  # seconds; a peer that hangs must not hang the tests


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer's unpacked tree below `root`."""

    name: str
    root: Path

    @property
    def accounts(self) -> Path:
        """A passwd file with the users that the package would have created (it exists for the peers that insist)."""
        return self.root.with_name("passwd")

    def program(self, name: str) -> Path:
        """Where the program `name` lies. Raises FileNotFoundError."""
        for place in _PROGRAM_PLACES:
            path = self.root / place / name
            if path.exists():
                return path
        # PostgreSQL's programs lie below its version; the system's serve where the package is installed there.
        for base in (self.root, Path("/")):
            for path in sorted(base.glob(f"usr/lib/postgresql/*/bin/{name}"), reverse=True):
                return path
        raise FileNotFoundError(f"peer {self.name} has no program {name} (looked below {self.root})")

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The caller's environment, with paths that let the unpacked programs find their own parts; `extra` wins."""
        usr = self.root / "usr"
        triplets = sorted(path for top in (usr / "lib", self.root / "lib") for path in top.glob("*-linux-gnu*"))
        environment = dict(os.environ)
        paths = {
            "PATH": [self.root / place for place in ("usr/bin", "usr/sbin", "bin", "sbin")],
            "LD_LIBRARY_PATH": [*triplets, *(usr / "lib" / part for part in ("postfix", "dovecot", "rspamd", "."))],
            "PERL5LIB": [
                usr / "share" / "perl5",
                *(path for triplet in triplets for path in (*triplet.glob("perl5/*"), *triplet.glob("perl/5*"))),
                *usr.glob("share/perl/5*"),
            ],
            "PYTHONPATH": [usr / "lib" / "python3" / "dist-packages", usr / "share" / "offlineimap3"],
        }
        # The tests' own import path must not reach a peer that is written in Python.
        environment.pop("PYTHONPATH", None)
        for variable, places in paths.items():
            present = [str(place) for place in places if place.is_dir()]
            if present:
                environment[variable] = os.pathsep.join([*present, *filter(None, [environment.get(variable)])])
        if self.accounts.exists():
            wrapper = next((path for triplet in triplets for path in triplet.glob("libnss_wrapper.so*")), None)
            if wrapper is not None:
                environment["LD_PRELOAD"] = str(wrapper)
                environment["NSS_WRAPPER_PASSWD"] = str(self.accounts)
                environment["NSS_WRAPPER_GROUP"] = str(self.accounts.with_name("group"))
        environment.setdefault("LC_ALL", "C.UTF-8")
        environment.update(extra or {})
        return environment

    def command(self, arguments: Sequence[str | Path]) -> list[str]:
        """`arguments` with the first, a program's name, made its path (and its interpreter, if unpacked too)."""
        program = self.program(str(arguments[0]))
        rest = [str(argument) for argument in arguments[1:]]
        with program.open("rb") as file:
            first = file.readline(256)
        if first.startswith(b"#!"):
            interpreter = first[2:].decode().split()
            unpacked = self.root / interpreter[0].lstrip("/")
            if not os.path.exists(interpreter[0]) and unpacked.exists():
                interpreter[0] = str(unpacked)
            if "perl" in interpreter[0] and any(option.startswith("-T") for option in interpreter[1:]):
                # Perl's taint mode does not read PERL5LIB.
                interpreter += (f"-I{place}" for place in self.environment().get("PERL5LIB", "").split(os.pathsep))
            return [*interpreter, str(program), *rest]
        return [str(program), *rest]

    def in_place(self, command: Sequence[str], mounts: Mapping[Path, Path] | None = None) -> list[str]:
        """`command` run where this tree's /usr lies over the system's, and `mounts` (file: over what) are bound."""
        usr = shlex.quote(str(self.root / "usr"))
        overlay = f"mount -t overlay overlay -o lowerdir={usr}:/usr /usr && "
        return namespace([*command], mounts, overlay)

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        input: bytes | str | None = None,  # subprocess's name for it
        cwd: Path | None = None,
        timeout: float = _DEFAULT_TIMEOUT,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run `[program, argument...]` and give its status and output (text; other bytes survive as surrogates).

        `check=True` raises AssertionError with everything it said when the status is not 0.
        """
        done = subprocess.run(
            self.command(arguments),
            env=self.environment(env),
            input=input.encode() if isinstance(input, str) else (b"" if input is None else input),
            capture_output=True,
            cwd=cwd,
            timeout=timeout,
        )
        result = subprocess.CompletedProcess(
            done.args,
            done.returncode,
            done.stdout.decode("utf-8", "surrogateescape"),
            done.stderr.decode("utf-8", "surrogateescape"),
        )
        if check and result.returncode != 0:
            raise AssertionError(
                f"{shlex.join(map(str, arguments))}: status {result.returncode}\n{result.stdout}\n{result.stderr}"
            )
        return result

    def start(
        self,
        arguments: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        mounts: Mapping[Path, Path] | None = None,
        in_place: bool = False,
        output: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program that stays, as the leader of a session of its own; its output goes to `output` or nowhere."""
        command = self.command(arguments)
        if in_place:
            command = self.in_place(command, mounts)
        elif mounts:
            command = namespace(command, mounts)
        sink = output.open("ab") if output is not None else subprocess.DEVNULL
        try:
            return subprocess.Popen(
                command,
                env=self.environment(env),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        finally:
            if not isinstance(sink, int):
                sink.close()


def namespace(command: Sequence[str], mounts: Mapping[Path, Path] | None, first: str = "") -> list[str]:
    """`command` in a mount namespace in which each file of `mounts` stands in its place; the process id stays."""
    binds = "".join(
        f"mount --bind {shlex.quote(str(source))} {shlex.quote(str(place))} && "
        for source, place in (mounts or {}).items()
    )
    return ["unshare", "--mount", "sh", "-c", f"{first}{binds}exec {shlex.join(command)}"]
