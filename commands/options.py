"""Option letters as getopt(3) reads them, and messages as Postfix's commands write them.

Written by hand because importing argparse takes longer than most of these commands run, and because the messages are
parsed by other people's scripts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn


class Fatal(Exception):
    """The command cannot go on; the text is for `PROGRAM: fatal: TEXT`."""


class BadOption(Exception):
    """An option that the command does not know; the text is getopt's."""


def parse(arguments: Sequence[str], letters: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Options as (letter, argument) in order, and the words after them.

    `letters` is getopt's: a colon after a letter that takes an argument.  Options end at the first other word or
    at `--`.  Raises BadOption.
    """
    options: list[tuple[str, str]] = []
    index = 0
    while index < len(arguments):
        word = arguments[index]
        if word == "--":
            index += 1
            break
        if len(word) < 2 or word[0] != "-":
            break
        index += 1
        position = 1
        while position < len(word):
            letter = word[position]
            position += 1
            place = letters.find(letter) if letter != ":" else -1
            if place < 0:
                raise BadOption(f"invalid option -- '{letter}'")
            if letters[place + 1 : place + 2] != ":":
                options.append((letter, ""))
                continue
            if position < len(word):
                options.append((letter, word[position:]))
            elif index < len(arguments):
                options.append((letter, arguments[index]))
                index += 1
            else:
                raise BadOption(f"option requires an argument -- '{letter}'")
            break
    return options, list(arguments[index:])


class Command:
    """The voice of one command on standard error."""

    def __init__(self, name: str, usage: str) -> None:
        self.name = name
        self.usage = usage

    def parse(self, arguments: Sequence[str], letters: str) -> tuple[list[tuple[str, str]], list[str]]:
        """As `parse`; an unknown option is reported with the usage.  Raises Fatal."""
        try:
            return parse(arguments, letters)
        except BadOption as error:
            self.say(str(error))
            raise Fatal(f"usage: {self.name} {self.usage}") from None

    def bad_usage(self) -> NoReturn:
        """Raise Fatal with the usage line."""
        raise Fatal(f"usage: {self.name} {self.usage}")

    def say(self, text: str) -> None:
        """`PROGRAM: text` on standard error."""
        sys.stdout.flush()
        sys.stderr.write(f"{self.name}: {printable(text)}\n")

    def warn(self, text: str) -> None:
        """`PROGRAM: warning: text`."""
        self.say(f"warning: {text}")

    def fatal(self, text: str) -> int:
        """`PROGRAM: fatal: text`; gives the exit status."""
        self.say(f"fatal: {text}")
        return 1

    def take_log(self) -> None:
        """What library code logs is said on standard error too, in this command's voice."""
        from pillarbox.lib.log import log

        def write(line: bytes) -> None:
            self.say(line.decode("utf-8", "replace").partition("]: ")[2].rstrip("\n"))

        log.configure(self.name, write, host="localhost")


def printable(text: str) -> str:
    """Text for a terminal: control characters and broken bytes as `?`."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)


def output(text: str) -> None:
    """A line on standard output, with the bytes that it came with."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")
