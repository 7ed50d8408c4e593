#!/bin/sh
# Runs a command as docker-compose.yml confines it, without a container: in a root of its own that is read-only but for
# /data, /tmp (where nothing is executed) and /dev/shm, as an account without a name and without capabilities.
# Needs root:  unshare --mount sh confined.sh NEW_ROOT DATA SECRETS SOURCES PYTHON COMMAND…
set -eu
umask 022
new=$1 data=$2 secrets=$3 sources=$4 python=$5
shift 5
mount -t tmpfs -o mode=755 tmpfs "$new"
mkdir -p "$new/data" "$new/tmp" "$new/run/secrets" "$new/dev" "$new/proc"
mount -t tmpfs -o mode=1777,nosuid,nodev,noexec tmpfs "$new/tmp"  # first: the sources may lie below it
for each in bin sbin lib lib64; do
  if [ -L "/$each" ]; then cp -P "/$each" "$new/$each"; fi
done
for each in /usr /etc "$sources" "$python"; do
  mkdir -p "$new$each"
  mount --bind "$each" "$new$each"
  mount -o remount,bind,ro "$new$each"
done
mount --rbind /dev "$new/dev"
mount --rbind /proc "$new/proc"
mount --bind "$data" "$new/data"
for each in "$secrets"/*; do  # one by one: their folder is closed
  target="$new/run/secrets/${each##*/}"
  touch "$target"
  mount --bind "$each" "$target"
  mount -o remount,bind,ro "$target"
done
mount -o remount,ro "$new"
exec chroot "$new" setpriv --reuid=10001 --regid=10001 --clear-groups --bounding-set=-all --inh-caps=-all \
  --no-new-privs --pdeathsig=KILL env --chdir="$sources" "$@"
