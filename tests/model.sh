#!/usr/bin/env bash
# The engine and an independent slow model agree on a hundred thousand random rides over random packs.
# MODEL_PACKS and MODEL_SEED choose another size and seed.
. "$(dirname "$0")/e2e/lib.sh"
seed=${MODEL_SEED:-20251103} packs=${MODEL_PACKS:-104}
[ -z "${SAN:-}" ] || packs=20	# fewer may have more than a quarter of packs that a check refuses
python3 tests/model/compare.py "$B/qingfen" "$seed" "$packs" 1000 >"$dir/out" 2>&1; code=$?
say "engine and model agree: $(tail -1 "$dir/out")" $code "$(cat "$dir/out")"
[ "$(wc -l <tests/model/fare_model.py)" -lt 500 ]; say "the model stays short enough to be read" $? "$(wc -l tests/model/fare_model.py)"
exit $status
