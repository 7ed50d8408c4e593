"""What databases that DuckDB attaches have in common: planning and reading by a cursor, done by DuckDB itself."""
