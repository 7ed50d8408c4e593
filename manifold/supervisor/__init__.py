"""`manifold up`: PostgreSQL, Valkey, web, worker, system worker and beat under one parent."""
