"""How times are written where nothing else says so: to the second, and with their zone."""
