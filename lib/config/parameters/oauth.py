"""Parameters of bearer tokens (mechanisms OAUTHBEARER and XOAUTH2), read by oauth and auth."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, choice, path, seconds, text, url, words

OAUTH_INTROSPECTION_URL = url(
    "oauth_introspection_url",
    "",
    """Where the authorization server tells whose a token is (RFC 7662): https://HOST[:PORT]/PATH. Empty: tokens are not
    taken. http:// is for an authorization server on this machine.""",
)
OAUTH_CREDENTIALS_FILE = path(
    "oauth_credentials_file",
    "",
    """A file with one line ID:SECRET, by which the service proves itself to the authorization server. It must not be
    readable by others; it is read at start. Empty: without.""",
)
OAUTH_CLIENT_AUTHENTICATION = choice(
    "oauth_client_authentication",
    "basic",
    """How ID and SECRET are sent (RFC 6749 section 2.3.1): basic: in the Authorization header; post: in the body;
    bearer: SECRET alone as a bearer token.""",
    ("basic", "post", "bearer"),
)
OAUTH_CAFILE = path(
    "oauth_CAfile", "", "PEM file with the authorities that the server's certificate must be of; empty: the system's."
)
OAUTH_USERNAME_CLAIM = text(
    "oauth_username_claim",
    "username",
    """The member of the answer that names the account: username, email, preferred_username, sub ... An email that the
    server calls unverified (email_verified: false) is not taken.""",
)
OAUTH_SCOPES = words("oauth_scopes", "", "Scopes that a token must have, all of them.")
OAUTH_AUDIENCE = words("oauth_audience", "", "Names of ours, one of which a token must be made out to (member aud).")
OAUTH_ISSUER = text("oauth_issuer", "", "The issuer that the answer must name (member iss); empty: any.")
OAUTH_OPENID_CONFIGURATION = url(
    "oauth_openid_configuration",
    "",
    "The URL of the OpenID configuration that a client with a bad token is told (RFC 7628 section 3.2.2); empty: none.",
)
OAUTH_TIMEOUT = seconds("oauth_timeout", "5s", "How long the authorization server may take for an answer.")
OAUTH_CACHE_TTL = seconds(
    "oauth_cache_ttl",
    "60s",
    """How long the answer for a good token is remembered (by a digest of the token, in memory); a token that is taken
    back works so long. 0: not at all.""",
)
OAUTH_ALLOW_HTTP = boolean(
    "oauth_allow_http", "no", "Take an http:// URL on another machine too: tokens then cross the network in clear text."
)
