"""sieve-connect puts, lists, activates and takes back scripts; and mail is filtered by what it has put."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.clients.site import Account, Site, letter
from tests.peers import peer

SCRIPT = 'require ["fileinto", "mailbox"];\nif header :contains "subject" "list" { fileinto :create "Lists"; }\n'


def connect(site: Site, account: Account, commands: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a sieve-connect that executes lines of commands."""
    program = peer("sieve-connect")
    arguments = ["sieve-connect", "--server", "localhost", "--port", str(site.port("managesieve"))]
    arguments += ["--user", account.address, "--tlscafile", str(site.trust), "--passwordfd", "0", *options]
    return program.run(arguments, input=f"{account.password}\n{commands}")


def test_a_script_goes_there_and_back(site: Site, account: Account, tmp_path: Path) -> None:
    local, back = tmp_path / "main.sieve", tmp_path / "back.sieve"
    local.write_text(SCRIPT)
    assert connect(site, account, "", "--localsieve", str(local), "--checkscript").returncode == 0
    done = connect(site, account, "", "--localsieve", str(local), "--remotesieve", "main", "--upload")
    assert done.returncode == 0, done.stdout + done.stderr
    done = connect(site, account, "", "--list")
    assert '"main"' in done.stdout, done.stdout + done.stderr
    assert connect(site, account, "", "--remotesieve", "main", "--activate").returncode == 0
    assert "ACTIVE" in connect(site, account, "", "--list").stdout
    done = connect(site, account, "", "--remotesieve", "main", "--localsieve", str(back), "--download")
    assert done.returncode == 0, done.stdout + done.stderr
    assert back.read_text() == SCRIPT
    account.deliver_elsewhere(letter("a list"), "Lists")
    assert set(account.flags("Lists")) == {"a list"}
    assert connect(site, account, "", "--deactivate").returncode == 0
    assert connect(site, account, "", "--remotesieve", "main", "--delete").returncode == 0
    assert '"main"' not in connect(site, account, "", "--list").stdout


def test_a_wrong_script_is_refused(site: Site, account: Account, tmp_path: Path) -> None:
    local = tmp_path / "main.sieve"
    local.write_text("nonsense;\n")
    done = connect(site, account, "", "--localsieve", str(local), "--remotesieve", "main", "--upload")
    assert "expected" in done.stdout + done.stderr
    assert '"main"' not in connect(site, account, "", "--list").stdout


def test_a_wrong_password_is_refused(site: Site, account: Account) -> None:
    done = connect(site, Account(site, account.address, "wrong"), "", "--list")
    assert done.returncode != 0
