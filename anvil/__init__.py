"""anvil: counts connections and events per service and client, for the limits of the network programs."""
