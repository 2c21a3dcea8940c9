#!/usr/bin/env bash
# A token of SoftHSM2 for trials and tests: tools/softhsm.sh DIR LABEL [USER-PIN]. DIR/softhsm2.conf (name it in
# SOFTHSM2_CONF), DIR/pin for key_pin_file, DIR/so-pin. SoftHSM2 keeps keys in files: no device for production.
set -eu
[ $# -ge 2 ] || { echo "usage: tools/softhsm.sh DIR LABEL [USER-PIN]" >&2; exit 2; }
command -v softhsm2-util >/dev/null || { echo "softhsm2-util is missing: tools/setup.sh installs it" >&2; exit 7; }
umask 077
mkdir -p "$1"
dir=$(cd "$1" && pwd)
[ ! -e "$dir/tokens" ] || { echo "$dir/tokens: is there already; a token is made once" >&2; exit 9; }
mkdir "$dir/tokens"
digits() { od -An -N8 -tu8 /dev/urandom | tr -d ' \n' | cut -c1-12; }
printf '%s\n' "${3:-$(digits)}" >"$dir/pin"
digits >"$dir/so-pin"
printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$dir" >"$dir/softhsm2.conf"
export SOFTHSM2_CONF=$dir/softhsm2.conf
softhsm2-util --init-token --free --label "$2" --so-pin "$(cat "$dir/so-pin")" --pin "$(cat "$dir/pin")" >/dev/null
for m in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so; do [ -e "$m" ] && break; done
printf 'SOFTHSM2_CONF=%s\nkey_backend: pkcs11\nkey_module: %s\nkey_token: %s\nkey_pin_file: %s\n' "$SOFTHSM2_CONF" "$m" "$2" "$dir/pin"
