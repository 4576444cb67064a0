"""What a password check can say."""

from enum import Enum


class Verdict(Enum):
    """`DISABLED`: the password is right, but the account may not log in (expired, locked by its administrator)."""

    RIGHT = "right"
    WRONG = "wrong"
    DISABLED = "disabled"
    UNAVAILABLE = "unavailable"
