#!/usr/bin/env bash
# bench_day.sh sm4|3des: a day's taps of purse cards, sealed beforehand, sent by every device over TLS
# 1.3 with its certificate, received durably with every code verified; then the day is cleared. Load
# generator and daemon share the machine; cpu_s is the daemon's without handshakes, own_cpu_s the generator's.
# At half load a batch is due at its time: the wait for its receipt counts from then on, own_late_us_* of it is the
# generator's. For sm4 also twice as many taps over BENCH_CONNECTIONS (10000) connections, handshakes apart.
set -u
. "$(dirname "$0")/bench_lib.sh"
alg=${1:-sm4}
city_make "$alg"

ingest() { # NAME LANES [--pace N]
	local name=$1 lanes=$2
	shift 2
	daemon_start "verify_lanes: $lanes"
	upload "$@"
	line "$name" taps/s "$rate" "$used" "$sent" \
		"\"own_cpu_s\":$own,$(stages),$(asked connections handshakes_ms held_batches own_late_us_p99 own_late_us_max),\"p50_us\":$(field "$work/upload.json" receipt_us_p50),\"p99_us\":$(field "$work/upload.json" receipt_us_p99),\"p999_us\":$(field "$work/upload.json" receipt_us_p999)"
}
ingest "ingest-$alg-openssl" 0
full=$rate
daemon_stop
ingest "ingest-$alg-half-load" 0 --pace $((full / 2 + 1))
daemon_stop
ingest "ingest-$alg-lanes" 1
bytes=$(du -sb "$QINGFEN_STORE" | cut -f 1)
line "inbox-$alg" bytes/tap "$(sum %.0f "$bytes / $sent")" 0 "$sent"
# Killed with the whole day open: how fast it is read again, and when a device that comes back has its first receipts.
kill -9 "$pid" && wait "$pid" 2>/dev/null
from=$(date +%s%N)
"$B/clearingd" -c "$work/clearingd.conf" >"$work/again.log" 2>&1 &
pid=$!
timeout 300 "$B/qingfen" sim validators --city "$work/city" --connect "127.0.0.1:$port" --devices 1 --limit 300 --json >"$work/one.json" 2>"$work/upload.log" || fail "restart"
first_ms=$((($(date +%s%N) - from) / 1000000))
replayed=$(sed -n 's/.*event=replayed.* taps=\([0-9]*\) ms=\([0-9]*\).*/\1 \2/p' "$work/again.log")
[ "${replayed% *}" = "$sent" ] || fail "replayed: $replayed of $sent"
line "restart-$alg" taps/s "$(sum %.0f "$sent * 1000 / (${replayed#* } + 1)")" "$(cpu_s $pid)" "$sent" "\"replay_ms\":${replayed#* },\"first_device_ms\":$first_ms"
before=$(cpu_s $pid)
"$B/qingfen" day close $day --json >"$work/day.json" 2>"$work/day.log" || fail "day close"
line "clear-$alg" taps/s "$(sum %.0f "$sent * 1000 / ($(field "$work/day.json" ms) + 1)")" "$(sum %.2f "$(cpu_s $pid) - $before")" "$sent"
"$B/qingfen" backup --to "$work/copy" >"$work/backup.log" 2>&1 && line "store-$alg" bytes/tap "$(sum %.0f "$(du -sb "$work/copy" | cut -f 1) / $sent")" 0 "$sent"
daemon_stop
[ "$alg" = sm4 ] || exit 0
rm -rf "$work/city" "$work/copy"
devices=${BENCH_CONNECTIONS:-10000} taps=$((taps * 2)) batch=64
city_make sm4
ingest "ingest-sm4-$devices-connections" 1
