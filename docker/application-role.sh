#!/bin/sh
# Run once by the image of PostgreSQL, when its database is made. The application's role owns nothing and is no
# superuser; migrations run as the owner.
set -eu
psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 \
  --set password="$(cat /run/secrets/database_password)" <<'SQL'
CREATE ROLE manifold LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
GRANT CONNECT ON DATABASE manifold TO manifold;
SQL
