"""SASL (RFC 4422) without I/O: server and client sides of the mechanisms, and the base64 wire form they travel in.

`server_mechanism(name, ...)` and `client_mechanism(name, ...)` find an implementation by its registered name; the
mechanisms are small alike modules in `server/` and `client/`.  This package knows no accounts, sockets or protocols:
a server mechanism *asks* for what it must know (`VerifyPassword`, `FetchScramKeys`, `VerifyToken`,
`VerifyCertificate`) and is told the answer.
"""

from pillarbox.lib.sasl.client import ClientMechanism, client_mechanism
from pillarbox.lib.sasl.events import (
    Accepted,
    Event,
    FetchScramKeys,
    Rejected,
    Send,
    VerifyCertificate,
    VerifyPassword,
    VerifyToken,
)
from pillarbox.lib.sasl.scram import ScramKeys, make_scram_keys
from pillarbox.lib.sasl.server import (
    MECHANISMS,
    PLAIN_CHANNEL,
    Channel,
    ServerMechanism,
    TokenVerdict,
    server_mechanism,
)
from pillarbox.lib.sasl.stringprep import prepare
from pillarbox.lib.sasl.wire import (
    RESPONSE_LIMIT,
    SaslAborted,
    SaslSyntaxError,
    decode_initial,
    decode_response,
    encode,
)

__all__ = [
    "MECHANISMS",
    "PLAIN_CHANNEL",
    "RESPONSE_LIMIT",
    "Accepted",
    "Channel",
    "ClientMechanism",
    "Event",
    "FetchScramKeys",
    "Rejected",
    "SaslAborted",
    "SaslSyntaxError",
    "ScramKeys",
    "Send",
    "ServerMechanism",
    "TokenVerdict",
    "VerifyCertificate",
    "VerifyPassword",
    "VerifyToken",
    "client_mechanism",
    "decode_initial",
    "decode_response",
    "encode",
    "make_scram_keys",
    "prepare",
    "server_mechanism",
]
