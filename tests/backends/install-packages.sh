#!/usr/bin/env bash
# Installs the servers and tools of the tests that come as Debian packages, as far as they are missing.
set -euo pipefail

missing=()
for pair in nginx:nginx-light haproxy:haproxy tinyproxy:tinyproxy-bin chromium:chromium systemd-analyze:systemd redis-server:redis-server; do
  PATH=$PATH:/usr/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ "${#missing[@]}" -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "The backend tests need programs of these Debian packages, and there is no apt-get here: ${missing[*]}" >&2
  echo "Install your distribution's packages of them and run this again." >&2
  exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
# The packages start no service here: the tests start what they need, on free ports.
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"
