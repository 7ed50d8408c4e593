"""Streams of messages: what their connectors have in common."""
