"""oauth: asks the authorization server whose a bearer token is (RFC 7662 token introspection), for auth.

A room of its own so that the process which holds password hashes never parses what a remote server sends, and the
process which parses it holds nothing: it runs as the net user, confined to one TCP port and the DNS, and only auth may
ask it.

Promises: every answer comes within `oauth_timeout`; what hangs, redirects, lies or talks nonsense is a temporary
failure, logged, and never a "no" to the client; a good answer is remembered for `oauth_cache_ttl`, under a digest
of the token.  It does not follow redirects and does not verify signatures of tokens itself.
"""
