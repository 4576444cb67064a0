"""The tables of header_checks and its kin, and the other settings that say what content is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pillarbox.cleanup.characters import configured_characters
from pillarbox.lib.clients.through_lookup import through_lookup
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters import content, general, milter
from pillarbox.lib.mime.sections import SectionLimits
from pillarbox.lib.queue import Envelope
from pillarbox.lib.system.processor_time import Budget, install
from pillarbox.lib.tables import Maps, Options
from pillarbox.lib.tables.literals import fold_for_search

EXTERNAL = frozenset(("smtpd", "pickup", "gateway"))
"""Origins whose mail is looked at; of the system's own only what internal_mail_filter_classes names."""


class Check:
    """One list of tables.  `title` is its parameter."""

    def __init__(self, parameter: Parameter[tuple[str, ...]], config: Config, options: Options) -> None:
        self.title = parameter.name
        specs: tuple[str, ...] = config[parameter]
        self.maps = Maps.open(parameter.name, specs, options, through_lookup(config))

    def literals(self) -> frozenset[str] | None:
        """Texts of which every key with an answer contains one; None: any key may have one.  Raises LookupFailed."""
        return self.maps.literals()

    def find(self, key: str) -> str | None:
        """The answer for a header field or a line.  Raises LookupFailed."""
        return self.maps.find(key)


def may_match(literals: frozenset[str] | None, text: str) -> bool:
    """Whether a key within `text` may have an answer."""
    if literals is None:
        return True
    folded = fold_for_search(text)
    return any(literal in folded for literal in literals)


@dataclass(frozen=True, slots=True)
class Strictness:
    """What is refused without any table."""

    header_8bit: bool
    body_8bit: bool
    encoding_domain: bool
    nesting: bool

    def refuses(self, fault: str) -> bool:
        """Whether a fault counts: `header`, `body` (8-bit data there), `encoding domain`, `nesting`."""
        return {
            "header": self.header_8bit,
            "body": self.body_8bit,
            "encoding domain": self.encoding_domain,
            "nesting": self.nesting,
        }[fault]


class Checks:
    """All of one configuration.  Opens tables: made before a process confines itself."""

    def __init__(self, config: Config, denied: Callable[[str], None] | None = None) -> None:
        """`denied` is told of a table that has changed and may not be read any more.  Raises TableError."""
        options = Options(denied=denied, keep=True, literals=True)
        self.header = _check(content.HEADER_CHECKS, config, options)
        self.mime_header = _check(content.MIME_HEADER_CHECKS, config, options)
        self.nested_header = _check(content.NESTED_HEADER_CHECKS, config, options)
        self.body = _check(content.BODY_CHECKS, config, options)
        self.milter = _check(milter.MILTER_HEADER_CHECKS, config, options)
        self.body_limit = config[content.BODY_CHECKS_SIZE_LIMIT]
        self.line_limit = config[general.LINE_LENGTH_LIMIT]
        mime = not config[content.DISABLE_MIME_INPUT_PROCESSING]
        both = config[content.STRICT_8BITMIME]
        headers = any((self.header, self.mime_header, self.nested_header))
        strict = (
            mime and (both or config[content.STRICT_7BIT_HEADERS]),
            mime and (both or config[content.STRICT_8BITMIME_BODY]),
            mime and config[content.STRICT_MIME_ENCODING_DOMAIN],
        )
        self.strict = Strictness(*strict, nesting=mime and (headers or any(strict)))
        self.active = headers or self.body is not None or any(strict)
        self.limits = SectionLimits(
            config[general.HEADER_SIZE_LIMIT],
            self.line_limit,
            config[content.MIME_NESTING_LIMIT],
            config[content.MIME_BOUNDARY_LENGTH_LIMIT],
            mime,
        )
        self.characters = configured_characters(config)
        self._internal = config[content.INTERNAL_MAIL_FILTER_CLASSES]
        self._time_limit = config[content.CONTENT_CHECK_TIME_LIMIT]
        if self.active or self.milter is not None:
            install()

    @property
    def anything(self) -> bool:
        """Whether content is looked at at all."""
        return self.active or self.characters is not None or self.milter is not None

    def concern(self, envelope: Envelope) -> bool:
        """Whether a message is looked at: one from outside, whose service does not leave it to others."""
        if "no_header_body_checks" in envelope.overrides.split():
            return False
        return envelope.origin in EXTERNAL or envelope.origin in self._internal

    def budget(self) -> Budget:
        """The time for one message."""
        return Budget(self._time_limit)

    def all(self) -> tuple[Check, ...]:
        """The lists that are configured."""
        found = (self.header, self.mime_header, self.nested_header, self.body, self.milter)
        return tuple(check for check in found if check is not None)

    def preload(self) -> None:
        """Load all tables now."""
        for check in self.all():
            check.maps.preload()

    def files(self) -> tuple[str, ...]:
        """The files that look-ups read."""
        return tuple(file for check in self.all() for file in check.maps.files())


def _check(parameter: Parameter[tuple[str, ...]], config: Config, options: Options) -> Check | None:
    check = Check(parameter, config, options)
    return check if check.maps else None
