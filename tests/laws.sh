#!/usr/bin/env bash
# The laws every set of fare rules obeys hold on random packs and rides. LAWS_PACKS and LAWS_SEED choose another size and seed.
. "$(dirname "$0")/e2e/lib.sh"
packs=${LAWS_PACKS:-12}
[ -z "${SAN:-}" ] || packs=4
python3 tests/model/laws.py "$B/qingfen" "${LAWS_SEED:-20251103}" "$packs" 500
