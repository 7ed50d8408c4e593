"""What is measured, beside its limit in the same run. `make bench` writes results.md and results.json here."""
