"""Servers that speak SQL through a driver for Arrow: one connector, and for each product its dialect and session."""
