"""PostgreSQL and Valkey from Python wheels, started by ourselves. Imports no Django."""
