"""The Slack edge: listeners in, outbox and progress out. The only room that knows slack-bolt."""
