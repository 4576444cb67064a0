"""`pillarbox`: set up, start, stop and look after an instance.

    pillarbox init DIR [--hostname H] [--domain D]... [--base-port N] [--user ADDRESS:PASSWORD]...
    pillarbox -c DIR/etc start [--foreground] | stop | reload | status | check | flush
    pillarbox -c DIR/etc user add ADDRESS | passwd ADDRESS | list | del ADDRESS | protocols ADDRESS [PROTOCOL...]
    pillarbox -c DIR/etc app-password add ADDRESS [--name NAME] [--protocol P]... | list ADDRESS | del ADDRESS NAME
    pillarbox -c DIR/etc certificate add ADDRESS FILE|FINGERPRINT | list ADDRESS | del ADDRESS FINGERPRINT
    pillarbox -c DIR/etc account list | release ADDRESS
    pillarbox [-c DIR/etc] mailbox export|import|convert|verify|repair STORE ...
    pillarbox -c DIR/etc suppression list | add ADDRESS [REASON...] | remove ADDRESS | export
    pillarbox -c DIR/etc queue
    pillarbox -c DIR/etc route [-f SENDER] [--json] ADDRESS
    pillarbox -c DIR/etc dns [--policy] [--mode testing|enforce|none] [DOMAIN...]
    pillarbox sieve-test [--json] [-f SENDER] [-a RECIPIENT] SCRIPT MESSAGE
    pillarbox sieve-check SCRIPT...
    pillarbox demo

The configuration directory is that of `-c`, else of MAIL_CONFIG in the environment, else /etc/pillarbox.
Exit status: 0, or a sysexits(3) code.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pillarbox.lib.config import Config

PROGRAM = "pillarbox"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="The Pillarbox mail system.")
    parser.add_argument("-c", dest="directory", metavar="DIR", help="the configuration directory")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)

    init = verbs.add_parser("init", help="make a new instance")
    init.add_argument("root", metavar="DIR")
    init.add_argument("--hostname", metavar="H", help="the host name of the mail system")
    init.add_argument("--domain", metavar="D", action="append", default=[], help="a domain with hosted mailboxes")
    init.add_argument("--base-port", metavar="N", type=int, default=0, help="add N to every port, listen on 127.0.0.1")
    init.add_argument("--user", metavar="ADDRESS:PASSWORD", action="append", default=[], help="a hosted account")

    start = verbs.add_parser("start", help="start the mail system")
    start.add_argument("--foreground", action="store_true", help="stay in the foreground, for containers and systemd")
    verbs.add_parser("stop", help="end running sessions, then stop")
    verbs.add_parser("reload", help="put a changed configuration into force")
    verbs.add_parser("status", help="tell whether the mail system runs")
    verbs.add_parser("check", help="look for mistakes in the configuration and the directories")
    verbs.add_parser("queue", help="show what waits, for whom, and why")
    verbs.add_parser("flush", help="try all deferred mail again now")
    route = verbs.add_parser("route", help="show where mail for an address would go, each decision in order")
    route.add_argument("-f", "--sender", metavar="SENDER", default="", help="the sender of that mail")
    route.add_argument("--json", action="store_true", help="print one JSON object")
    route.add_argument("address", metavar="ADDRESS")
    dns = verbs.add_parser("dns", help="print the DNS records that a domain with its mail here should have")
    dns.add_argument("--policy", action="store_true", help="print the MTA-STS policy, the file for a web server")
    dns.add_argument("--mode", choices=("testing", "enforce", "none"), default="testing", help="of that policy")
    dns.add_argument("domains", metavar="DOMAIN", nargs="*")
    user = verbs.add_parser("user", help="add, change, list or delete hosted accounts", add_help=False)
    user.add_argument("words", nargs=argparse.REMAINDER)
    app_password = verbs.add_parser(
        "app-password", help="add, list or delete passwords for single programs", add_help=False
    )
    app_password.add_argument("words", nargs=argparse.REMAINDER)
    certificate = verbs.add_parser(
        "certificate", help="add, list or delete client certificates of accounts", add_help=False
    )
    certificate.add_argument("words", nargs=argparse.REMAINDER)
    account = verbs.add_parser("account", help="show what accounts send; let go what is held of one", add_help=False)
    account.add_argument("words", nargs=argparse.REMAINDER)
    suppression = verbs.add_parser("suppression", help="show and change whom no mail is sent to", add_help=False)
    suppression.add_argument("words", nargs=argparse.REMAINDER)
    mailbox = verbs.add_parser("mailbox", help="move mail between stores and files, verify, repair", add_help=False)
    mailbox.add_argument("-h", "--help", dest="help", action="store_true")
    mailbox.add_argument("words", nargs=argparse.REMAINDER)
    sieve_test = verbs.add_parser("sieve-test", help="show what a Sieve script does with a message")
    sieve_test.add_argument("--json", action="store_true", help="print a list of objects")
    sieve_test.add_argument("-f", dest="sender", metavar="SENDER", help="the envelope sender; <> is the null sender")
    sieve_test.add_argument("-a", dest="recipient", metavar="RECIPIENT", help="the envelope recipient")
    sieve_test.add_argument(
        "--mailbox", dest="mailboxes", metavar="NAME", action="append", default=[], help="a mailbox that exists"
    )
    sieve_test.add_argument("script", metavar="SCRIPT")
    sieve_test.add_argument("message", metavar="MESSAGE", help='a file; "-" is the standard input')
    sieve_check = verbs.add_parser("sieve-check", help="look for errors in Sieve scripts")
    sieve_check.add_argument("scripts", metavar="SCRIPT", nargs="+")
    demo = verbs.add_parser("demo", help="start a throw-away instance and show how to connect")
    demo.add_argument("--base-port", metavar="N", type=int, default=0, help="add N to every port (default: a free one)")
    demo.add_argument("--once", action="store_true", help="end after the first message, instead of on Ctrl-C")
    return parser


def _loaded(options: argparse.Namespace) -> Config:
    gc.disable()  # a command is over, or a master, before garbage counts; looking for it is a tenth of the work
    from pillarbox.lib.config import config_directory, load

    return load(config_directory(options.directory))


def _init(options: argparse.Namespace) -> int:
    from pillarbox.commands.init import init

    return init(options.root, options.hostname, options.domain, options.base_port, options.user)


def _control(name: str) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        from pillarbox.commands import control

        verb: Callable[[Config], int] = getattr(control, name)
        return verb(_loaded(options))

    return run


def _start(options: argparse.Namespace) -> int:
    from pillarbox.commands.control import start

    return start(_loaded(options), foreground=options.foreground)


def _check(options: argparse.Namespace) -> int:
    from pillarbox.commands.check import check
    from pillarbox.lib.config import config_directory

    return check(config_directory(options.directory))


def _queue(options: argparse.Namespace) -> int:
    from pillarbox.commands.queue_summary import queue
    from pillarbox.lib.clients.errors import ServiceUnavailable

    try:
        return queue(_loaded(options))
    except ServiceUnavailable as error:
        print(f"{PROGRAM}: the queue cannot be seen: {error.reason}", file=sys.stderr)
        return os.EX_UNAVAILABLE


def _route(options: argparse.Namespace) -> int:
    from pillarbox.commands.route import route

    return route(_loaded(options), options.address, options.sender, as_json=options.json)


def _dns(options: argparse.Namespace) -> int:
    from pillarbox.commands.dns import dns

    return dns(_loaded(options), options.domains, options.mode, policy_only=options.policy)


def _user(options: argparse.Namespace) -> int:
    from pillarbox.commands.user import main as user

    return user(options.words, _loaded(options))


def _app_password(options: argparse.Namespace) -> int:
    from pillarbox.commands.app_password import main as app_password

    return app_password(options.words, _loaded(options))


def _certificate(options: argparse.Namespace) -> int:
    from pillarbox.commands.certificate import main as certificate

    return certificate(options.words, _loaded(options))


def _suppression(options: argparse.Namespace) -> int:
    from pillarbox.commands.suppression import main as suppression

    return suppression(options.words, _loaded(options))


def _account(options: argparse.Namespace) -> int:
    from pillarbox.commands.account import main as account

    return account(options.words, _loaded(options))


def _mailbox(options: argparse.Namespace) -> int:
    from pillarbox.commands.mailbox import main as mailbox
    from pillarbox.lib.config import config_directory

    # Locations say all by themselves: a machine without an instance has mail too.
    configured = options.directory or os.path.exists(os.path.join(config_directory(None), "main.yaml"))
    words = ["--help"] if options.help else options.words
    return mailbox(words, _loaded(options) if configured and not options.help else None)


def _sieve_test(options: argparse.Namespace) -> int:
    from pillarbox.commands.sieve import try_script

    return try_script(
        options.script,
        options.message,
        sender=options.sender,
        recipient=options.recipient,
        mailboxes=options.mailboxes,
        as_json=options.json,
    )


def _sieve_check(options: argparse.Namespace) -> int:
    from pillarbox.commands.sieve import check_scripts

    return check_scripts(options.scripts)


def _demo(options: argparse.Namespace) -> int:
    from pillarbox.commands.demo import demo

    return demo(options.base_port, once=options.once)


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "init": _init,
    "start": _start,
    "stop": _control("stop"),
    "reload": _control("reload"),
    "status": _control("status"),
    "flush": _control("flush"),
    "check": _check,
    "queue": _queue,
    "route": _route,
    "dns": _dns,
    "user": _user,
    "app-password": _app_password,
    "certificate": _certificate,
    "account": _account,
    "mailbox": _mailbox,
    "suppression": _suppression,
    "sieve-test": _sieve_test,
    "sieve-check": _sieve_check,
    "demo": _demo,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit status."""
    options = _parser().parse_args(argv)
    from pillarbox.lib.config import ConfigError

    try:
        return _VERBS[options.verb](options)
    except ConfigError as error:
        for problem in error.problems:
            print(f"{PROGRAM}: {problem}", file=sys.stderr)
        return os.EX_CONFIG
    except KeyboardInterrupt:
        return 130
    except PermissionError as error:
        print(
            f"{PROGRAM}: {error.filename}: {error.strerror}; run this as root or as the instance's owner",
            file=sys.stderr,
        )
        return os.EX_NOPERM
    except OSError as error:
        print(f"{PROGRAM}: {error.filename or ''}: {error.strerror}", file=sys.stderr)
        return os.EX_OSERR


if __name__ == "__main__":
    sys.exit(main())
