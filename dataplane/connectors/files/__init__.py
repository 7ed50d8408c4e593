"""What every source of files needs: patterns, listings, sniffing, and reading with a declared schema."""
