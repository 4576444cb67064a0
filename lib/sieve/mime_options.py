"""What `header :mime` looks at in a structured field (RFC 5703 section 4): type, subtype, both, or parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.mime.fields import parse_parameters
from pillarbox.lib.mime.parameters import decode_parameters
from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.signature import STRINGS, TagRule

MIME_TAGS: Final = {
    "mime": TagRule("mime"),
    "anychild": TagRule("mime"),
    "type": TagRule("mime", group="option"),
    "subtype": TagRule("mime", group="option"),
    "contenttype": TagRule("mime", group="option"),
    "param": TagRule("mime", STRINGS, group="option"),
}
_VALUE = re.compile(r"\s*+([^\s;/]*+)\s*+(?:/\s*+([^\s;/]*+)\s*+)?(?:;|$)")


@dataclass(frozen=True, slots=True)
class MimeOption:
    """Which piece of the value: `type`, `subtype`, `contenttype`, `param` with the names of parameters."""

    kind: str
    parameters: frozenset[str] = frozenset()

    def of(self, name: str, value: str) -> tuple[str, ...]:
        """The pieces; () where the field has none."""
        if self.kind == "param":
            octets = value.encode("utf-8", "replace")
            start = octets.find(b";")
            found = decode_parameters(parse_parameters(octets, start)) if start >= 0 else {}
            return tuple(text for key, text in found.items() if key in self.parameters)
        match = _VALUE.match(value)
        if match is None or name not in ("content-type", "content-disposition"):
            return ()
        kind, subtype = match[1], match[2] or ""
        if self.kind == "type":
            return (kind,)
        if name == "content-disposition":
            return ("",) if self.kind == "subtype" else (kind,)
        return (subtype,) if self.kind == "subtype" else (f"{kind}/{subtype}",)


def mime_option(call: Call) -> MimeOption | None:
    """The option that the tags name.  Raises SieveError."""
    kind = call.one_of("type", "subtype", "contenttype", "param")
    if not kind:
        return None
    if not call.has("mime"):
        raise call.error(f"expected ':mime' beside ':{kind}'", kind)
    names = frozenset(name.lower() for name in call.constants("param")) if kind == "param" else frozenset()
    return MimeOption(kind, names)
