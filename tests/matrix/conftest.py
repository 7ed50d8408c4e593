from tests.furnished import furnished  # noqa: F401  a fixture
