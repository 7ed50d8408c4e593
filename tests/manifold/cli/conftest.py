from tests.served import served, worked  # noqa: F401  fixtures
