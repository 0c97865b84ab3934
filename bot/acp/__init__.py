"""The Agent Client Protocol over any stream pair: `client.AgentClient`, and `updates` for what it hears."""
