"""Password hashes."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from pillarbox.lib.accounts.passwords import hash_password, unmatchable_hash, verify_password


def test_the_hash_for_unknown_users_costs_what_others_cost() -> None:
    """It is written, not computed, at a start; the work of a look at it is that of a real one."""
    made, real = unmatchable_hash().split("$"), hash_password("secret").split("$")
    assert made[:4] == real[:4]
    assert [len(part) for part in made] == [len(part) for part in real]
    with pytest.raises(InvalidKey):  # looked at to the end, not refused for its form
        Argon2id.verify_phc_encoded(b"secret", unmatchable_hash())
    assert not verify_password("secret", unmatchable_hash())
