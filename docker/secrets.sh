#!/bin/sh
# Makes the folder `secrets` that docker-compose.yml reads, once. Keep a copy of it: without master_key no stored
# credential can be opened. The folder is closed; its files are readable, because the containers run as other accounts.
set -eu
if [ -e secrets ]; then
  echo "secrets/ is there already; nothing was changed." >&2
  exit 1
fi
mkdir -m 700 secrets
owner=$(openssl rand -hex 20)
role=$(openssl rand -hex 20)
redis=$(openssl rand -hex 20)
printf '%s' "$owner" >secrets/postgres_password
printf '%s' "$role" >secrets/database_password
printf '%s' "$redis" >secrets/redis_password
printf '%s' "postgresql://manifold_owner:$owner@postgres:5432/manifold" >secrets/database_admin_url
printf '%s' "postgresql://manifold:$role@postgres:5432/manifold" >secrets/database_url
printf '%s' "redis://:$redis@redis:6379/0" >secrets/redis_url
openssl rand -hex 32 >secrets/secret_key
openssl rand -base64 32 >secrets/master_key
chmod 444 secrets/*
