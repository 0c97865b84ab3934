"""The Slack side of the playground: a stateful workspace on loopback that Slack's own clients can talk to."""
