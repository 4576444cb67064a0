"""Negotiation: which version is spoken, what the milter may do, which steps it wants to see, which macros.

The MTA offers; the milter answers with a part of the offer.  What was not offered cannot be agreed on.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pillarbox.lib.milter.packets import (
    BODY,
    CONNECT,
    DATA,
    END,
    END_OF_HEADER,
    HEADER,
    HELO,
    MAIL,
    NEGOTIATE,
    RCPT,
    UNKNOWN,
    MilterError,
    encode,
)

# --- what a milter may do at the end of a message (mfapi.h, SMFIF_*)
ADD_HEADERS: Final = 0x01
CHANGE_BODY: Final = 0x02
ADD_RECIPIENTS: Final = 0x04
DELETE_RECIPIENTS: Final = 0x08
CHANGE_HEADERS: Final = 0x10
QUARANTINE: Final = 0x20
CHANGE_SENDER: Final = 0x40
ADD_RECIPIENTS_WITH: Final = 0x80
SET_MACROS: Final = 0x100

# --- steps that a milter does not want, and ways of doing them (mfdef.h, SMFIP_*)
NO_STEP: Final[Mapping[bytes, int]] = {
    CONNECT: 0x01,
    HELO: 0x02,
    MAIL: 0x04,
    RCPT: 0x08,
    BODY: 0x10,
    HEADER: 0x20,
    END_OF_HEADER: 0x40,
    UNKNOWN: 0x100,
    DATA: 0x200,
}
SKIP: Final = 0x400
REJECTED_RECIPIENTS: Final = 0x800
NO_REPLY: Final[Mapping[bytes, int]] = {
    HEADER: 0x80,
    CONNECT: 0x1000,
    HELO: 0x2000,
    MAIL: 0x4000,
    RCPT: 0x8000,
    DATA: 0x10000,
    UNKNOWN: 0x20000,
    END_OF_HEADER: 0x40000,
    BODY: 0x80000,
}
LEADING_SPACE: Final = 0x100000

_STEPS_2: Final = 0x7F
_STEPS_3: Final = _STEPS_2 | NO_STEP[UNKNOWN]
_STEPS_4: Final = _STEPS_3 | NO_STEP[DATA]
_STEPS_6: Final = (
    _STEPS_4 | SKIP | REJECTED_RECIPIENTS | LEADING_SPACE | sum(NO_REPLY.values())  # NO_REPLY has distinct bits
)
_ACTIONS_2: Final = 0x3F
_ACTIONS_6: Final = 0x1FF

STAGES: Final = (CONNECT, HELO, MAIL, RCPT, DATA, END, END_OF_HEADER)
"""The steps for which a milter may name macros, by their numbers (mfapi.h, SMFIM_*)."""

MACRO_LIMIT: Final = 1000
"""Macros that a milter may name for one step."""

_OPTIONS: Final = struct.Struct(">III")


@dataclass(frozen=True, slots=True)
class Offer:
    """What the MTA puts forward: a version, the actions (SMFIF_*) and steps (SMFIP_*) that it knows."""

    version: int
    actions: int
    steps: int

    @classmethod
    def of(cls, version: int, *, no_header_reply: bool = False) -> Offer:
        """All that goes with a version: 2, 3, 4 or 6.  `no_header_reply` adds to an older version what 6 has anyhow."""
        steps = {2: _STEPS_2, 3: _STEPS_3, 4: _STEPS_4, 6: _STEPS_6}[version]
        if no_header_reply:
            steps |= NO_REPLY[HEADER]
        return cls(version, _ACTIONS_6 if version >= 6 else _ACTIONS_2, steps)

    def packet(self) -> bytes:
        """SMFIC_OPTNEG."""
        return encode(NEGOTIATE, _OPTIONS.pack(self.version, self.actions, self.steps))


@dataclass(frozen=True, slots=True)
class Agreement:
    """What holds for a connection.  `macros` are the names that the milter asks for, by step."""

    version: int
    actions: int
    steps: int
    macros: Mapping[bytes, tuple[str, ...]] = field(default_factory=dict)

    def wants(self, step: bytes) -> bool:
        """Whether the milter wants to see a step; the end of a message always."""
        return not self.steps & NO_STEP.get(step, 0) and (step != UNKNOWN or self.version >= 3) and self._has_data(step)

    def _has_data(self, step: bytes) -> bool:
        return step != DATA or self.version >= 4

    def replies(self, step: bytes) -> bool:
        """Whether the milter answers a step."""
        return not self.steps & NO_REPLY.get(step, 0)


def parse_agreement(offer: Offer, data: bytes) -> Agreement:
    """The milter's answer to an offer.  Raises MilterError where it is none."""
    if len(data) < _OPTIONS.size:
        raise MilterError("the options are cut short")
    version, actions, steps = _OPTIONS.unpack_from(data)
    if not 2 <= version <= offer.version:
        raise MilterError(f"protocol version {version}; offered was {offer.version}")
    if actions & ~offer.actions:
        raise MilterError(f"actions 0x{actions:x}; offered were 0x{offer.actions:x}")
    if steps & ~offer.steps:
        raise MilterError(f"protocol options 0x{steps:x}; offered were 0x{offer.steps:x}")
    return Agreement(version, actions, steps, _macros(data[_OPTIONS.size :], actions))


def _macros(data: bytes, actions: int) -> dict[bytes, tuple[str, ...]]:
    """SMFIR_SETSYMLIST as libmilter appends it: a number of the step and a text with names, again and again."""
    if data and not actions & SET_MACROS:
        raise MilterError("a list of macros that was not agreed on")
    macros = {}
    position = 0
    while position < len(data):
        end = data.find(b"\0", position + 4)
        if end < 0:
            raise MilterError("a list of macros has no end")
        number = int.from_bytes(data[position : position + 4], "big")
        if number >= len(STAGES):
            raise MilterError(f"macros for a step {number} that does not exist")
        names = data[position + 4 : end].decode("utf-8", "replace").replace(",", " ").split()
        if len(names) > MACRO_LIMIT:
            raise MilterError(f"more than {MACRO_LIMIT} macros for one step")
        macros[STAGES[number]] = tuple(bare(name) for name in names)
        position = end + 1
    return macros


def bare(name: str) -> str:
    """A macro's name without braces, under which its value is kept: `{auth_type}` and `auth_type` are one."""
    return name[1:-1] if len(name) > 2 and name[0] == "{" and name[-1] == "}" else name


def spelled(name: str) -> str:
    """A macro's name as the protocol has it: braces unless it is a single character."""
    return name if len(name) == 1 else "{" + name + "}"
