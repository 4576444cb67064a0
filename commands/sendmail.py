#!/usr/bin/python3 -IS
"""sendmail - hand a message to the mail system

    sendmail [option ...] [recipient ...]

Reads a message from standard input and leaves it in the maildrop directory, also while the mail system is
stopped; `pickup` takes it from there.  Called as `mailq` or `newaliases`, or with -bp or -bi, it does their work.
The options are those of Sendmail as far as programs use them; the others are accepted and ignored.

Programs run this command thousands of times, so it starts fast: nothing is imported before it is needed, options and
the two configuration values are read by hand.  It runs as whoever calls it and trusts itself with nothing: all it can
do, its caller could do.

Exit status: 0 when the message is safe, else a sysexits(3) code: 64 wrong use, 65 bad address, 69 not available, 71 or
75 trouble with the system, try again.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # importing it would cost as much as half of this command's work
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

EX_OK, EX_USAGE, EX_DATAERR, EX_UNAVAILABLE, EX_OSERR, EX_TEMPFAIL = 0, 64, 65, 69, 71, 75

DEFAULT_CONFIG = "/etc/pillarbox"
DEFAULT_SIZE_LIMIT = 10240000
HEADER_LIMIT = 1024 * 1024
"""Bytes of header that -t looks at; the same bound as cleanup's."""

PROBE = b"Subject: probe\n\n"
"""What -bv sends where it is given no message: it is delivered nowhere."""

ENVID_LIMIT = 100
READ_SIZE = 65536

_WITH_VALUE = "ABCFLNORVXbefhopr"
_FLAGS = "GIUcimnqtvx"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+=/.")


class Failure(Exception):
    """The command ends: the sentence for the user, and the exit status."""

    def __init__(self, text: str, status: int = EX_TEMPFAIL) -> None:
        super().__init__(text)
        self.status = status


class Options:
    """What the command line asks for."""

    def __init__(self) -> None:
        self.mode = "m"
        self.sender: str | None = None
        self.full_name: str | None = None
        self.config = os.environ.get("MAIL_CONFIG") or DEFAULT_CONFIG
        self.extract = False
        self.dots = True
        self.gateway = False
        self.body = ""
        self.notify = ""
        self.ret = ""
        self.envid = ""
        self.smtputf8 = False
        self.requiretls = False
        self.verp = ""
        self.report = ""
        self.verbose = 0
        self.alias_file = ""
        self.flush: tuple[str, str] | None = None
        self.recipients: list[str] = []


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    argv = sys.argv if argv is None else argv
    name = os.path.basename(argv[0])
    try:
        options = parse(argv)
        return _run(options)
    except Failure as failure:
        _say(f"{name}: fatal: {failure}")
        return failure.status
    except KeyboardInterrupt:
        return EX_TEMPFAIL


def _say(text: str) -> None:
    os.write(2, (text + "\n").encode("utf-8", "backslashreplace"))


# --- options


def parse(argv: list[str]) -> Options:
    """Read the command line.  Raises Failure."""
    options = Options()
    name = os.path.basename(argv[0])
    options.mode = {"mailq": "p", "newaliases": "i", "smtpd": "s"}.get(name, "m")
    for letter, value in _letters(argv[1:], options.recipients, name):
        _option(options, letter, value, name)
    if options.mode == "p" and options.recipients:
        raise Failure("display queue mode requires no recipient", EX_USAGE)
    if options.extract and options.mode not in "mv":
        raise Failure("-t can be used only in delivery mode", EX_USAGE)
    return options


def _letters(words: list[str], rest: list[str], name: str) -> Iterator[tuple[str, str]]:
    """The options one by one, as getopt(3); the first other word ends them, so that no recipient becomes an option."""
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            rest += words[position:]
            return
        if not word.startswith("-") or word == "-":
            rest += [word, *words[position:]]
            return
        index = 1
        while index < len(word):
            letter = word[index]
            index += 1
            if letter == "q":
                # The value of -q is optional and attached, save for -qR and its like, which may have it apart.
                value, index = word[index:], len(word)
                if value in ("R", "I", "S") and position < len(words):
                    value += words[position]
                    position += 1
                yield letter, value
            elif letter in _WITH_VALUE:
                value, index = word[index:], len(word)
                if not value:
                    if letter in "oO" and position >= len(words):
                        return
                    if position >= len(words):
                        raise Failure(f"option requires an argument -- '{letter}'", EX_USAGE)
                    value = words[position]
                    position += 1
                yield letter, value
            elif letter in _FLAGS:
                yield letter, ""
            else:
                _say(f"{name}: invalid option -- '{letter}'")
                raise Failure(f"usage: {name} [options] [recipient ...]", EX_USAGE)


def _option(options: Options, letter: str, value: str, name: str) -> None:
    handler = _HANDLERS.get(letter)
    if handler is not None:
        handler(options, value, name)


def _mode(options: Options, value: str, name: str) -> None:
    if value in ("m", "p", "i", "s", "v", "h", "H"):
        options.mode = value
    elif value in ("d", "l"):
        options.mode = "d"
    else:
        raise Failure(f"unsupported: -b{value}", EX_USAGE)


def _body(options: Options, value: str, name: str) -> None:
    if value.upper() not in ("7BIT", "8BITMIME"):
        raise Failure("-B option needs 8BITMIME or 7BIT", EX_USAGE)
    options.body = value.lower()


def _sender(options: Options, value: str, name: str) -> None:
    options.sender = "" if value in ("", "<>") else value


def _full_name(options: Options, value: str, name: str) -> None:
    options.full_name = value


def _notify(options: Options, value: str, name: str) -> None:
    words = value.lower().replace(" ", "").split(",")
    if not set(words) <= {"never", "success", "failure", "delay"} or (len(words) > 1 and "never" in words):
        _say(f"{name}: warning: bad -N option value -- ignored")
    else:
        options.notify = ",".join(words)


def _ret(options: Options, value: str, name: str) -> None:
    if value.lower() not in ("full", "hdrs"):
        _say(f"{name}: warning: bad -R option value -- ignored")
    else:
        options.ret = value.lower()


def _envid(options: Options, value: str, name: str) -> None:
    if len(value) <= 2:
        _say(f"{name}: warning: use -XV for variable envelope return paths; -V{value} ignored")
    elif len(value) > ENVID_LIMIT or not value.isascii() or not value.isprintable():
        _say(f"{name}: warning: bad -V option value -- ignored")
    else:
        options.envid = value


def _verp(options: Options, value: str, name: str) -> None:
    if not value.startswith("V"):
        raise Failure(f"unsupported: -X{value}", EX_USAGE)
    delimiters = value[1:]
    if delimiters and (len(delimiters) != 2 or not delimiters.isascii() or not delimiters.isprintable()):
        raise Failure("-XV needs two characters, or none", EX_USAGE)
    options.verp = delimiters or "default"


def _queue(options: Options, value: str, name: str) -> None:
    kind, argument = value[:1], value[1:]
    if kind in ("R", "I"):
        options.mode, options.flush = "q", ("-s" if kind == "R" else "-i", argument)
    elif kind == "S":
        raise Failure("-qS is not implemented", EX_UNAVAILABLE)
    elif kind == "":
        options.mode, options.flush = "q", ("-f", "")
    else:
        options.mode = "h"  # -q15m: the queue manager has its own schedule


def _small_option(options: Options, value: str, name: str) -> None:
    if value == "i":
        options.dots = False
    elif value.startswith("A"):
        options.alias_file = value[1:]


def _big_option(options: Options, value: str, name: str) -> None:
    key, _, setting = value.partition("=")
    if key.lower() == "smtputf8":
        options.smtputf8 = setting.lower() == "yes"
    elif key.lower() == "requiretls":
        options.requiretls = setting.lower() == "yes"


def _config(options: Options, value: str, name: str) -> None:
    options.config = os.path.dirname(value) if value.endswith((".yaml", ".cf")) else value


def _switch(attribute: str, setting: object) -> Callable[[Options, str, str], None]:
    return lambda options, value, name: setattr(options, attribute, setting)


def _verbose(options: Options, value: str, name: str) -> None:
    options.verbose += 1


_HANDLERS: dict[str, Callable[[Options, str, str], None]] = {
    "b": _mode,
    "B": _body,
    "C": _config,
    "F": _full_name,
    "f": _sender,
    "r": _sender,
    "G": _switch("gateway", True),
    "I": _switch("mode", "i"),
    "i": _switch("dots", False),
    "N": _notify,
    "O": _big_option,
    "o": _small_option,
    "q": _queue,
    "R": _ret,
    "t": _switch("extract", True),
    "V": _envid,
    "v": _verbose,
    "X": _verp,
}


# --- modes


def _run(options: Options) -> int:
    mode = options.mode
    if mode in "mv":
        return deliver(options)
    if mode == "h" or mode == "H":
        return EX_OK
    _find_package()
    if mode == "s":
        from pillarbox.commands.sendmail_dialogue import serve

        return serve(options)
    if mode in "pq":
        from pillarbox.commands import postqueue

        flag, argument = options.flush or ("-p", "")
        return postqueue.main(["-c", options.config, flag, *([argument] if argument else [])])
    if mode == "i":
        from pillarbox.commands import newaliases

        tables = [options.alias_file] if options.alias_file else []
        return newaliases.main(["-c", options.config, *tables])
    from pillarbox.commands import pillarbox

    return pillarbox.main(["-c", options.config, "start"])


def _find_package() -> None:
    """Run as a file with -I and -S, the package and what it stands on have to be found."""
    try:
        import pillarbox  # noqa: F401
    except ImportError:
        import site

        site.main()
        here = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
        sys.path += [os.path.dirname(here), os.path.join(here, "src")]


# --- configuration


def settings(directory: str) -> tuple[str, int]:
    """(queue directory, message size limit) of main.yaml, read by hand; as the full reader would give them.

    What this does not understand (other references, multi-line texts) is left to the full reader.
    """
    file = os.path.join(directory, "main.yaml")
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as stream:
            lines = stream.read().split("\n")
    except OSError as error:
        raise Failure(f"open {file}: {error.strerror}", EX_UNAVAILABLE) from None
    values = {"queue_directory": "$instance_directory/spool", "message_size_limit": str(DEFAULT_SIZE_LIMIT)}
    directory = os.path.abspath(directory)
    in_etc = os.path.basename(directory) == "etc"
    values["instance_directory"] = os.path.dirname(directory) if in_etc else "/var/lib/pillarbox"
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and name in values:
            values[name] = _scalar(value)
    queue = values["queue_directory"].replace("${instance_directory}", "$instance_directory")
    queue = queue.replace("$instance_directory", values["instance_directory"])
    if "$" in queue or not queue.startswith("/") or not values["message_size_limit"].isdigit():
        return _settings_in_full(directory)
    return queue, int(values["message_size_limit"])


def _scalar(text: str) -> str:
    text = text.strip()
    if text[:1] in ('"', "'"):
        end = text.find(text[0], 1)
        return text[1:end] if end > 0 and "\\" not in text else "$"
    text = text.partition(" #")[0].rstrip()
    return "$" if text[:1] in ("|", ">", "[", "{", "&", "*", "!") else text


def _settings_in_full(directory: str) -> tuple[str, int]:
    _find_package()
    from pillarbox.lib.config import ConfigError, load
    from pillarbox.lib.config.parameters.general import MESSAGE_SIZE_LIMIT, QUEUE_DIRECTORY

    try:
        config = load(directory)
    except ConfigError as error:
        raise Failure(str(error).partition("\n")[0], EX_UNAVAILABLE) from None
    return config[QUEUE_DIRECTORY], config[MESSAGE_SIZE_LIMIT]


# --- delivery


def deliver(options: Options) -> int:
    """Read the message and leave it in maildrop/."""
    who = _caller()
    queue, limit = settings(options.config)
    recipients = [address for word in options.recipients for address in addresses(word)]
    if not recipients and not options.extract:
        raise Failure(
            f"{who}: Recipient addresses must be specified on the command line or via the -t option", EX_USAGE
        )
    probe = options.mode == "v" and not options.extract
    content = iter((PROBE,)) if probe else lines_of(0, options.dots)
    head = b""
    if options.extract:
        head = _read_header(content)
        recipients += _header_recipients(head)
        if not recipients:
            raise Failure(f"{who}: No recipient addresses found in message header", EX_USAGE)
    sender = _envelope_sender(options)
    if options.verp and not (options.sender and sender):
        raise Failure(f"{who}: -XV option requires non-null sender address", EX_USAGE)
    if options.mode == "v" or options.verbose == 1:
        options.report = "verify" if options.mode == "v" else "record"
        os.write(1, f"Mail Delivery Status Report will be mailed to <{sender}>.\n".encode())
    submission = Submission(queue, limit, envelope_lines(options, sender, list(dict.fromkeys(recipients))))
    try:
        submission.write(head)
        for piece in content:
            submission.write(piece)
        submission.commit()
    except OSError as error:
        raise Failure(f"{who}: {submission.directory}: {error.strerror}", EX_TEMPFAIL) from None
    except TooBig:
        raise Failure(f"{who}: message file too big: the limit is {limit} bytes", EX_DATAERR) from None
    finally:
        submission.close()
    poke(queue)
    return EX_OK


def _caller() -> str:
    """`user(uid)` as it stands in error texts."""
    import pwd

    uid = os.getuid()
    try:
        return f"{pwd.getpwuid(uid).pw_name}({uid})"
    except KeyError:
        return f"uid {uid}({uid})"


def _envelope_sender(options: Options) -> str:
    if options.sender is not None:
        found = addresses(options.sender) if options.sender else [""]
        if len(found) != 1:
            _say("sendmail: warning: -f option specified malformed sender: " + options.sender)
        return found[0] if found else ""
    return addresses(_caller().partition("(")[0].replace(" ", "-"))[0]


def _gecos() -> str:
    """The caller's name: NAME in the environment, else the account's."""
    name = os.environ.get("NAME", "")
    if name:
        return name
    import pwd

    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return ""
    return entry.pw_gecos.partition(",")[0].replace("&", entry.pw_name.capitalize())


def addresses(word: str) -> list[str]:
    """The addresses in a word of the command line, in envelope form.  Raises Failure."""
    local, at, domain = word.partition("@")
    if local and _PLAIN.issuperset(word.replace("@", "", 1)) and (domain or not at):
        dots = local.startswith((".", "-")) or local.endswith(".") or ".." in word or domain.endswith(".")
        if not dots:
            return [word]
    _find_package()
    from pillarbox.lib.address.header import parse_address_list

    found = parse_address_list(word)
    if found.invalid:
        raise Failure(f'bad address syntax: "{found.invalid[0]}"', EX_DATAERR)
    return [mailbox.address for mailbox in found.mailboxes]


def _read_header(content: Iterator[bytes]) -> bytes:
    head = b""
    for piece in content:
        head += piece
        if head.startswith(b"\n") or b"\n\n" in head or len(head) > HEADER_LIMIT:
            break
    return head


def _header_recipients(head: bytes) -> list[str]:
    _find_package()
    from pillarbox.lib.message.recipients import header_recipients

    found = header_recipients(head)
    for text in found.invalid:
        _say(f'sendmail: warning: bad address syntax in the message header: "{text}"')
    return list(found.addresses)


def lines_of(descriptor: int, dots: bool) -> Iterator[bytes]:
    """The message on a descriptor in pieces: CR before LF gone, leading `From ` lines dropped, ended by a lone dot.

    A piece ends at the end of a line, unless the line is longer than a piece.
    """
    held = b""
    line_start = True
    top = True
    more = True
    while more:
        data = os.read(descriptor, READ_SIZE)
        if not data:
            if not held:
                return
            data = held if held.endswith(b"\n") else held + b"\n"
            held, more = b"", False
        else:
            data = held + data
            end = data.rfind(b"\n") + 1
            if end:
                data, held = data[:end], data[end:]
            elif len(data) > READ_SIZE:
                data, held = data[:-1], data[-1:]  # the last byte may be a CR whose LF is still to come
            else:
                held = data
                continue
        if b"\r\n" in data:
            data = data.replace(b"\r\n", b"\n")
        while top and line_start and data.startswith((b"From ", b">From ")):
            end = data.find(b"\n") + 1
            if not end:
                break
            data = data[end:]
        if not data:
            continue
        top = False
        if dots:
            end = 0 if line_start and (data.startswith(b".\n") or data == b".") else data.find(b"\n.\n") + 1
            if end or (line_start and data.startswith(b".\n")):
                if end:
                    yield data[:end]
                return
        line_start = data.endswith(b"\n")
        yield data


# --- the file


class TooBig(Exception):
    """The message is larger than message_size_limit."""


def envelope_lines(
    options: Options, sender: str, recipients: list[str], wishes: dict[str, list[str]] | None = None
) -> bytes:
    """The envelope as `lib/queue/maildrop.py` reads it; `wishes` are further lines about recipients."""
    full_name = options.full_name if options.full_name is not None else _gecos()
    lines = [f"sender {sender}"]
    for address in recipients:
        lines.append(f"recipient {address}")
        lines += wishes.get(address, ()) if wishes else ()
    for name in ("envid", "ret", "body", "notify", "verp", "report"):
        if value := getattr(options, name):
            lines.append(f"{name} {value}")
    if full_name:
        lines.append(f"full_name {''.join(c if c.isprintable() else ' ' for c in full_name)}")
    if options.smtputf8 or not all(address.isascii() for address in (sender, *recipients)):
        lines.append("smtputf8 yes")
    if options.requiretls:
        lines.append("requiretls yes")
    if options.gateway:
        lines.append("gateway yes")
    for line in lines:
        if "\n" in line or "\r" in line or "\0" in line:
            raise Failure(f"line end in an address or option: {line!r}", EX_DATAERR)
    return ("\n".join(lines) + "\n\n").encode("utf-8", "surrogateescape")


class Submission:
    """One file in the making: nameless until it is complete, where the file system can do that."""

    def __init__(self, queue: str, limit: int, envelope: bytes) -> None:
        self.directory = queue + "/maildrop"
        self._limit = limit
        self._length = 0
        self._offset = 64 + len(envelope)
        self._name = f"{self.directory}/{os.urandom(16).hex()}"
        self._temporary = ""
        self._descriptor = -1
        try:
            self._descriptor = self._open()
            os.fchmod(self._descriptor, 0o644)  # pickup is another user; nobody else can list the directory
            self._put(b" " * 63 + b"\n" + envelope)
        except OSError as error:
            self.close()
            raise Failure(
                f"{self.directory}: {error.strerror}: is this the right instance? (-C, MAIL_CONFIG)"
            ) from None

    def _open(self) -> int:
        try:
            return os.open(self.directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if error.errno not in (21, 22, 95):  # EISDIR, EINVAL, EOPNOTSUPP: not here
                raise
        head, _, tail = self._name.rpartition("/")
        self._temporary = f"{head}/.{tail}"
        return os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def write(self, content: bytes) -> None:
        """Take a piece of content.  Raises TooBig, OSError."""
        self._length += len(content)
        if self._limit and self._length > self._limit:
            raise TooBig
        self._put(content)

    def commit(self) -> None:
        """Give the file its name and put it on disk.  Raises OSError."""
        first = b"PBMD1 offset=%010d length=%016d" % (self._offset, self._length)
        os.pwrite(self._descriptor, first.ljust(63) + b"\n", 0)
        if self._temporary:
            os.rename(self._temporary, self._name)
            self._temporary = ""
        else:
            # The (otherwise unused) src_dir_fd makes Python call linkat(2), which alone follows the link in /proc.
            os.link(f"/proc/self/fd/{self._descriptor}", self._name, src_dir_fd=self._descriptor, follow_symlinks=True)
        # After it has its name: one sync for both, as the file system's journal holds the name as well.
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close; a file without a name is gone then."""
        if self._temporary:
            try:
                os.unlink(self._temporary)
            except OSError:
                pass
            self._temporary = ""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def poke(queue: str) -> None:
    """Tell pickup; it looks by itself too, so nothing depends on this."""
    import _socket

    waker = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        waker.setblocking(False)
        waker.connect(queue + "/public/pickup")
        waker.send(b'\0\0\0\x0d{"do":"wake"}')
    except OSError:
        pass
    finally:
        waker.close()


def run() -> NoReturn:
    """The console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()
