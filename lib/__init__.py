"""The shared floor: sub-packages that import only downwards, in the order of `LAYERS` (kept by a test)."""

LAYERS = (
    "system",
    "log",
    "address",
    "config",
    "ipc",
    "message",
    "mime",
    "dns",
    "tables",
    "queue",
    "tls",
    "sasl",
    "accounts",
    "smtp",
    "milter",
    "store",
    "delivery",
    "clients",
    "login",
    "process",
)
