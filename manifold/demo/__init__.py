"""The demo: real files, a real database, and the example pipelines run on them through the API."""
