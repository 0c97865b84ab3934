"""The playground: a Slack and a GitHub on loopback, spoken to by the real clients."""
