"""Parameters of address classes, routing and rewriting: which tables say where mail goes.  Read by `lookup`."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, integer, seconds, tables, text, words

# --- aliases of system users
DEFAULT_DATABASE_TYPE = text(
    "default_database_type",
    "hash",
    """The table type that postmap and postalias assume for a file given without type. "hash" and "btree" name
    Pillarbox's own constant database, FILE.cdb.""",
)
ALIAS_MAPS = tables(
    "alias_maps",
    "$default_database_type:$config_directory/aliases",
    "The alias tables that local delivery uses, aliases(5) format. After an edit run newaliases.",
)
ALIAS_DATABASE = tables(
    "alias_database",
    "$default_database_type:$config_directory/aliases",
    "The alias tables that newaliases (sendmail -bi) builds; alias_maps may name others besides.",
)

# --- address classes
LOCAL_RECIPIENT_MAPS = tables(
    "local_recipient_maps",
    "unix:passwd.byname $alias_maps",
    """Tables with the users of the domains in mydestination. A recipient found in none of them is refused. Empty: every
    local recipient is accepted.""",
)
VIRTUAL_ALIAS_DOMAINS = words(
    "virtual_alias_domains",
    "",
    """Domains all of whose addresses are aliases in virtual_alias_maps: names, "type:table" entries whose keys are
    domains, or files.""",
)
VIRTUAL_ALIAS_MAPS = tables(
    "virtual_alias_maps",
    "",
    """Tables that replace recipients, of any domain, by one or more other addresses (virtual(5)): looked up are
    user+extension@domain, user@domain, for our own domains user+extension and user, and @domain.""",
)
VIRTUAL_MAILBOX_DOMAINS = words(
    "virtual_mailbox_domains",
    "accounts:",
    """Domains of hosted mailboxes, delivered through virtual_transport: names, "type:table" entries or files.
    "accounts:" stands for every domain in which an account exists ("pillarbox user add").""",
)
VIRTUAL_MAILBOX_MAPS = tables(
    "virtual_mailbox_maps",
    "accounts:",
    """Tables with the addresses of virtual_mailbox_domains. A recipient found in none of them is refused. "accounts:"
    is the account database. Empty: every recipient is accepted.""",
)
RELAY_DOMAINS = words(
    "relay_domains",
    "",
    "Domains that this system passes on to another mail server (backup MX, gateway), subdomains included.",
)
FAST_FLUSH_DOMAINS = words(
    "fast_flush_domains",
    "$relay_domains",
    """Domains whose waiting mail may be asked for: by their mail servers with ETRN, by anyone here with "postqueue -s".
    Empty: none.""",
)
RELAY_RECIPIENT_MAPS = tables(
    "relay_recipient_maps",
    "",
    "Tables with the addresses of relay_domains. Empty: every recipient is accepted.",
)
PARENT_DOMAIN_MATCHES_SUBDOMAINS = words(
    "parent_domain_matches_subdomains",
    "debug_peer_list, fast_flush_domains, mynetworks, relay_domains, smtpd_access_maps",
    """The parameters in whose lists "example.com" also matches subdomains; in the others ".example.com" does.""",
)
SHOW_USER_UNKNOWN_TABLE_NAME = boolean(
    "show_user_unknown_table_name",
    "yes",
    'Whether the reply "User unknown" says in which kind of table the user is unknown.',
)

# --- transports
LOCAL_TRANSPORT = text(
    "local_transport", "local:$myhostname", "The service that delivers mail for mydestination: transport[:nexthop]."
)
VIRTUAL_TRANSPORT = text(
    "virtual_transport", "virtual", "The service that delivers mail for virtual_mailbox_domains: transport[:nexthop]."
)
RELAY_TRANSPORT = text(
    "relay_transport", "relay", "The service that delivers mail for relay_domains: transport[:nexthop]."
)
DEFAULT_TRANSPORT = text(
    "default_transport", "smtp", "The service that delivers mail for all other domains: transport[:nexthop]."
)
RELAYHOST = text(
    "relayhost",
    "",
    """Where mail for other systems is sent instead of to the recipient's mail exchanger: "domain" (its MX hosts),
    "[host]" or "[host]:port" (no MX look-up). Several, separated by commas, are tried in turn.""",
)
TRANSPORT_MAPS = tables(
    "transport_maps",
    "",
    """Tables that override transport and next hop (transport(5)): looked up are user+extension@domain, user@domain,
    domain, .parent of each level, and *; the result is "transport:nexthop".""",
)
SENDER_DEPENDENT_RELAYHOST_MAPS = tables(
    "sender_dependent_relayhost_maps",
    "",
    "Tables of next hops by sender: user@domain and @domain are looked up; overrides relayhost; DUNNO ends the search.",
)
SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS = tables(
    "sender_dependent_default_transport_maps",
    "",
    "Tables of transport:nexthop by sender; overrides default_transport; DUNNO ends the search.",
)
RELOCATED_MAPS = tables(
    "relocated_maps",
    "",
    'Tables of users who moved away: mail for them is returned with "5.1.6 User has moved to" and the result.',
)

# --- rewriting
CANONICAL_MAPS = tables("canonical_maps", "", "Tables that rewrite sender and recipient addresses (canonical(5)).")
SENDER_CANONICAL_MAPS = tables(
    "sender_canonical_maps", "", "Tables that rewrite sender addresses, before canonical_maps."
)
RECIPIENT_CANONICAL_MAPS = tables(
    "recipient_canonical_maps", "", "Tables that rewrite recipient addresses, before canonical_maps."
)
PROPAGATE_UNMATCHED_EXTENSIONS = words(
    "propagate_unmatched_extensions",
    "canonical, virtual",
    """The kinds of table that pass an address extension, which the key did not have, on to their result: canonical,
    virtual, alias, forward.""",
)
VIRTUAL_ALIAS_RECURSION_LIMIT = integer(
    "virtual_alias_recursion_limit", "1000", "How deep virtual aliases may refer to virtual aliases.", minimum=1
)
VIRTUAL_ALIAS_EXPANSION_LIMIT = integer(
    "virtual_alias_expansion_limit",
    "1000",
    "How many addresses one recipient may become by virtual aliases.",
    minimum=1,
)
VIRTUAL_ALIAS_ADDRESS_LENGTH_LIMIT = integer(
    "virtual_alias_address_length_limit",
    "1000",
    "The longest address that virtual aliases may produce; stops aliases that grow in a loop.",
    minimum=1,
)

# --- the service
LOOKUP_CACHE_TTL = seconds(
    "lookup_cache_ttl",
    "1s",
    """How long a program keeps an answer of the lookup service. Answers that something was not found, and errors, are
    never kept.""",
)
