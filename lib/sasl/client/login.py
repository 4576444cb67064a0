"""LOGIN (draft-murchison-sasl-login) as a client: first the name, then the password, whatever the prompts say."""

from __future__ import annotations

from pillarbox.lib.sasl.client.mechanism import UNBOUND, ClientChannel, ClientMechanism, Credentials, MechanismFailed


class LoginClient(ClientMechanism):
    """One exchange of LOGIN."""

    name = "LOGIN"
    clear_text = True

    def __init__(self, credentials: Credentials, channel: ClientChannel = UNBOUND) -> None:
        super().__init__(credentials, channel)
        self._answers = [credentials.password.encode(), credentials.username.encode()]

    def initial(self) -> None:
        """The server asks first."""
        return

    def respond(self, challenge: bytes) -> bytes:
        """Prompts differ between servers, their order does not."""
        if not self._answers:
            raise MechanismFailed("LOGIN asks only twice")
        return self._answers.pop()
