"""Deliveries that Postfix's local(8) and ours must do alike: aliases, forward files, lists, commands, files.

In the texts `@a`, `@b` stand for the two users of a case, `@n` for its own label, `@A` and `@B` for the users' homes,
`@O` for a directory that everybody may write.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Case:
    """One message to `to`, and what it meets: alias lines, and files in the homes by `a/.forward` or `b/list`."""

    name: str
    to: str
    aliases: str = ""
    files: dict[str, str] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    header: str = ""
    owners: dict[str, str] = field(default_factory=dict)
    """Files that belong to someone else: `b`, or `root`."""
    waits: bool = False
    """Whether the message waits here, by design, where Postfix returns it: a mistake that can be mended."""


def _forward(text: str, to: str = "@a@example.com", name: str = "", **more: object) -> Case:
    return Case(name or f"forward {text!r}", to, files={"a/.forward": text}, **more)  # type: ignore[arg-type]


def _alias(value: str, name: str = "", to: str = "@n@example.com", **more: object) -> Case:
    return Case(name or f"alias {value!r}", to, aliases=f"@n: {value}\n", **more)  # type: ignore[arg-type]


_SHOW = "echo $EXTENSION,$DOMAIN,$LOCAL,$RECIPIENT,$ORIGINAL_RECIPIENT,$SENDER,$USER,$LOGNAME"

CASES = (
    Case("a user", "@a@example.com"),
    Case("a user in capitals", "@UA@example.com"),
    Case("a user with an extension", "@a+ext@example.com"),
    Case("nobody", "no-@n@example.com"),
    Case("nobody with an extension", "no-@n+ext@example.com"),
    # aliases
    _alias("@a"),
    _alias("@a, @b"),
    _alias("@a @b", "alias to two without a comma"),
    _alias("x@far.example, @a"),
    _alias("X Y <@a@example.com>"),
    _alias("<@a>"),
    _alias("@a (comment, with a comma), @b"),
    _alias('"@a"'),
    _alias("\\@a"),
    _alias("@a, @a, x@far.example, x@far.example", "what comes twice"),
    _alias("", "an empty value"),
    _alias("@a@example.com, @b+ext@example.com", "an extension in the value"),
    _alias('"|cat >> @O/@n"'),
    _alias('|"cat >> @O/@n"'),
    _alias("|/usr/bin/touch"),
    _alias("|/bin/true"),
    _alias("|/bin/false"),
    _alias('"|exit 69"'),
    _alias('"|exit 3"'),
    _alias('"|echo 5.2.1 gone away; exit 1"'),
    _alias('"|echo words; exit 77"'),
    _alias('"|kill -9 $$"'),
    _alias('"|exit 75"'),
    _alias('"|echo 4.2.1 later; exit 1"'),
    _alias("|/nonexistent/command"),
    _alias("@O/@n"),
    _alias('"@O/@n"'),
    _alias("@O/@n-dir/"),
    _alias("/dev/null"),
    _alias("@O/no/such/directory", waits=True),
    _alias(f'"|{_SHOW} >> @O/@n"', to="@n+ext@example.com", name="environment of an alias's command"),
    Case("user+extension before user", "@a+ext@example.com", "@a: x@far.example\n@a+ext: y@far.example\n"),
    Case("user where user+extension is missing", "@a+ext@example.com", "@a: x@far.example\n"),
    Case("an alias of the user to the user", "@a@example.com", "@a: @a, x@far.example\n"),
    Case("an alias of the user with its domain", "@a@example.com", "@a: @a@example.com, x@far.example\n"),
    Case("nested aliases", "@n@example.com", "@n: in-@n, x@far.example\nin-@n: @a, y@far.example\n"),
    Case("aliases in a ring", "@n@example.com", "@n: in-@n\nin-@n: @n\n"),
    Case("aliases in a ring with a way out", "@n@example.com", "@n: in-@n, @a\nin-@n: @n, @b\n"),
    Case("capitals in the name", "@N@example.com", "@N: @a\n"),
    Case("a quoted name", '"a b @n"@example.com', '"a b @n": @a\n'),
    Case("an owner", "@n@example.com", "@n: @a, x@far.example\nowner-@n: boss@far.example\n"),
    Case(
        "owners of both of two nested lists",
        "@n@example.com",
        "@n: in-@n, x@far.example\nowner-@n: one@far.example\nin-@n: y@far.example\nowner-in-@n: two@far.example\n",
    ),
    Case(
        "an owner of the outer list only",
        "@n@example.com",
        "@n: in-@n\nowner-@n: one@far.example\nin-@n: y@far.example\n",
    ),
    Case("mail to an owner", "owner-@n@example.com", "@n: x@far.example\nowner-@n: boss@far.example\n"),
    Case("mail to a request address", "@n-request@example.com", "@n: x@far.example\n@n-request: boss@far.example\n"),
    # lists
    _alias(":include:@A/list", files={"a/list": "# comment\n@a\n\nx@far.example, @b\n  y@far.example\n"}),
    _alias('":include:@A/list"', files={"a/list": "x@far.example\n"}),
    _alias(":include:@A/missing", waits=True),
    _alias(
        ":include:@A/list",
        "a list that everybody may write",
        files={"a/list": "x@far.example\n"},
        modes={"a/list": 0o666},
        waits=True,
    ),
    _alias(":include:@A/list", "a list in a list", files={"a/list": ":include:@B/list\n", "b/list": "x@far.example\n"}),
    _alias(":include:@A/list", "a list with a command", files={"a/list": '"|cat >> @O/@n"\nx@far.example\n'}),
    _alias(":include:@A/list", "a list with a file", files={"a/list": "@O/@n\nx@far.example\n"}),
    _alias(":include:@A/list", "a list of a root's", files={"a/list": "x@far.example\n"}, owners={"a/list": "root"}),
    _alias(":include:@A/list", "an empty list with a comment", files={"a/list": "# nobody\n@a\n"}),
    # forward files
    _forward("x@far.example\n"),
    _forward("x@far.example, @b\n"),
    _forward("x@far.example\n@b\n"),
    _forward("\\@a\n"),
    _forward("\\@a, x@far.example\n"),
    _forward("@a, x@far.example\n"),
    _forward("@a@example.com\n"),
    _forward('\\@a, "|cat >> @A/got"\n'),
    _forward('"|cat >> @A/got"\n'),
    _forward('| "cat >> @A/got"\n'),
    _forward("@A/box\n"),
    _forward("@A/dir/\n"),
    _forward("/dev/null\n"),
    _forward(""),
    _forward("# only a comment\n"),
    _forward("x@far.example (a comment)\n"),
    _forward("Some Body <x@far.example>\n"),
    Case(
        "a list in a forward file",
        "@a@example.com",
        files={"a/.forward": ":include:@A/list\n", "a/list": "x@far.example\n"},
    ),
    _forward(f'"|{_SHOW} >> @A/got"\n', to="@a+ext@example.com", name="environment of a user's command"),
    _forward('"|id -u >> @A/got"\n', name="identity of a user's command"),
    _forward("x@far.example\n", name="a forward file that everybody may write", modes={"a/.forward": 0o666}),
    _forward("x@far.example\n", name="a forward file that the group may write", modes={"a/.forward": 0o664}),
    _forward("x@far.example\n", name="a forward file of another's", owners={"a/.forward": "b"}),
    _forward("x@far.example\n", name="a forward file of root's", owners={"a/.forward": "root"}),
    _forward('"|exit 75"\n', name="a command that asks to wait"),
    _forward('\\@a\n"|exit 69"\n', name="a command that fails beside the mailbox"),
    _forward("x@far.example\n", to="@a+ext@example.com", name="an extension without a forward file of its own"),
    Case(
        "a forward file for the extension",
        "@a+ext@example.com",
        files={"a/.forward": "x@far.example\n", "a/.forward+ext": "y@far.example\n"},
    ),
    Case("two users who forward to each other", "@a@example.com", files={"a/.forward": "@b\n", "b/.forward": "@a\n"}),
    Case("an alias to a user who forwards", "@n@example.com", "@n: @a\n", files={"a/.forward": "x@far.example\n"}),
    Case(
        "an alias to oneself, who forwards",
        "@a@example.com",
        "@a: @a, y@far.example\n",
        files={"a/.forward": "x@far.example\n"},
    ),
    # loops and files
    Case("a message that was here", "@a@example.com", header="Delivered-To: @a@example.com\n"),
    Case("a message that was at another place", "@a@example.com", header="Delivered-To: x@far.example\n"),
    Case(
        "a file that is executable",
        "@a@example.com",
        files={"a/.forward": "@A/box\n", "a/box": ""},
        modes={"a/box": 0o755},
    ),
    Case(
        "a file of another's",
        "@a@example.com",
        files={"a/.forward": "@B/box\n", "b/box": ""},
        modes={"b/box": 0o600},
        waits=True,
    ),
)
