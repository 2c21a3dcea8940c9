#!/bin/sh
# Installs the Debian 12 packages that building, the demo and the tests need and that are missing.
# Nothing to do: says nothing. Needs root or sudo only when something is missing.
set -eu
packages="gcc libc6-dev make pkg-config clang libclang-rt-14-dev
libevent-dev liblmdb-dev libssl-dev libmsgpack-dev libcurl4-openssl-dev libyaml-dev libjansson-dev
libzstd-dev libxxhash-dev libpcsclite-dev libp11-kit-dev softhsm2 pcscd vsmartcard-vpcd libcmocka-dev openssl zstd mandoc abigail-tools python3 git procps strace"
missing=""
for p in $packages; do
	dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null | grep -q '^ii' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
sudo=""
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || { echo "setup: missing packages:$missing; run as root or install sudo" >&2; exit 1; }
	sudo=sudo
fi
echo "setup: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$sudo apt-get install -y --no-install-recommends $missing >/dev/null 2>&1 || {
	$sudo apt-get update >/dev/null
	$sudo apt-get install -y --no-install-recommends $missing >/dev/null
}
