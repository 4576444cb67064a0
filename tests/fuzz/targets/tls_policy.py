"""Values of smtp_tls_policy_maps: whatever an administrator's table says is a policy, or refused with a reason."""

from __future__ import annotations

from pillarbox.lib.config import Config
from pillarbox.lib.tls import LEVELS
from pillarbox.smtp_client.agreement import Unprotected, agree
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.tls_policy import BadPolicy, PolicyReader

_READER = PolicyReader(Config.for_tests(), "may", (), {})
_SERVER = Server("mx.example.org", "192.0.2.1", 25)


def fuzz(data: bytes) -> None:
    """Nothing but BadPolicy; what is read can be agreed on with a server."""
    try:
        policy = _READER.read(data.decode("utf-8", "replace"))
    except BadPolicy as error:
        assert str(error)
        return
    assert policy.level in LEVELS
    try:
        agreement = agree(policy, _SERVER, "example.org", None)
    except Unprotected:
        assert policy.level == "dane-only"
        return
    assert (agreement.otherwise is None) == (policy.level not in ("may", "dane"))
