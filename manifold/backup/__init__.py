"""Backup and restore: one file with the database, the data files and, sealed with a passphrase, the keys."""
