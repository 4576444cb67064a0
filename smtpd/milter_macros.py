"""What milters are told besides the commands themselves: macros, by names without braces (MILTER_README)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import general, milter
from pillarbox.lib.dns import UNKNOWN
from pillarbox.lib.milter.configured import macro_defaults

if TYPE_CHECKING:
    from pillarbox.smtpd.session import Session


class Macros:
    """The values, stage by stage.  What was said in an earlier stage holds on; "" takes it back."""

    def __init__(self, config: Config) -> None:
        defaults = macro_defaults(config)
        self._defaults = defaults
        self._fixed = {
            "j": config[general.MYHOSTNAME],
            "v": config[milter.MILTER_MACRO_V],
            "daemon_name": config[milter.MILTER_MACRO_DAEMON_NAME],
        }
        mail_macros, rcpt_macros = config[milter.MILTER_MAIL_MACROS], config[milter.MILTER_RCPT_MACROS]
        routed = ("_host}", "_mailer}")
        self._route_sender = any(name.endswith(routed) for name in mail_macros)
        self._route_recipient = any(name.endswith(routed) for name in rcpt_macros)

    def _with_defaults(self, values: dict[str, str]) -> dict[str, str]:
        for name, value in self._defaults.items():
            if not values.get(name, "-"):
                values[name] = value
        return values

    def connection(self, session: Session) -> dict[str, str]:
        """Who is connected to what."""
        client, origin = session.client, session.origin
        name = client.name
        return self._with_defaults(
            {
                **self._defaults,
                **self._fixed,
                "_": f"{name} [{client.address}]",
                "daemon_addr": origin.local_address,
                "daemon_port": str(origin.local_port or ""),
                "if_addr": origin.local_address,
                "client_addr": client.address,
                "client_name": name,
                "client_port": str(client.port),
                "client_ptr": name,
                "client_connections": str(session.connections or ""),
                "client_resolve": "OK" if name != UNKNOWN else "FAIL",
            }
        )

    def hello(self, session: Session) -> dict[str, str]:
        """TLS, where there is any."""
        values = dict.fromkeys(("tls_version", "cipher", "cipher_bits", "cert_subject", "cert_issuer"), "")
        if (facts := session.tls) is not None:
            values |= {"tls_version": facts.protocol, "cipher": facts.cipher, "cipher_bits": str(facts.bits)}
            if facts.certificate is not None:
                values["cert_subject"] = facts.certificate.subject
                values["cert_issuer"] = facts.certificate.issuer
        return self._with_defaults(values)

    async def sender(self, session: Session) -> dict[str, str]:
        """Who is authenticated, and the reverse-path."""
        transaction = session.transaction
        assert transaction is not None
        host, mailer = await self._route(session, transaction.sender) if self._route_sender else ("", "")
        return self._with_defaults(
            {
                "i": "",
                "auth_type": session.sasl_method,
                "auth_authen": session.sasl_username,
                "auth_author": transaction.sasl_sender,
                "mail_addr": transaction.sender,
                "mail_host": host,
                "mail_mailer": mailer,
            }
        )

    async def recipient(self, session: Session) -> dict[str, str]:
        """The recipient that was just named, and where it goes."""
        transaction = session.transaction
        assert transaction is not None
        host, mailer = await self._route(session, transaction.candidate) if self._route_recipient else ("", "")
        values = {**self.message(session), "rcpt_addr": transaction.candidate, "rcpt_host": host, "rcpt_mailer": mailer}
        return self._with_defaults(values)

    def refused(self, session: Session, enhanced: str, text: str) -> dict[str, str]:
        """A recipient that is refused: the mailer is "error", and the rest says why (MILTER_README)."""
        return {**self.message(session), "rcpt_addr": text, "rcpt_host": enhanced, "rcpt_mailer": "error"}

    def message(self, session: Session) -> dict[str, str]:
        """The queue id, once there is one."""
        transaction = session.transaction
        known = transaction is not None and transaction.message is not None
        return {"i": transaction.queue_id if transaction is not None and known else ""}

    async def _route(self, session: Session, address: str) -> tuple[str, str]:
        if not address:
            return "", ""
        try:
            route = await session.server.lookup.resolve(address)
        except ServiceUnavailable:
            return "", ""
        return route.nexthop, route.transport
