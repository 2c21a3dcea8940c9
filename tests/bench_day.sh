#!/usr/bin/env bash
# bench_day.sh sm4|3des: a day's taps of purse cards, sealed beforehand, sent by every device over TLS
# 1.3 with its certificate, received durably with every code verified; then the day is cleared. Load
# generator and daemon share the machine; cpu_s is the daemon's without handshakes, own_cpu_s the generator's.
# At half load a batch is due at its time: the wait for its receipt counts from then on, own_late_us_* of it is the
# generator's. ready_s: how long threads of the daemon were ready and had no processor, whoever had it. For sm4 also twice as many taps over BENCH_CONNECTIONS (10000) connections, handshakes apart.
set -u
. "$(dirname "$0")/bench_lib.sh"
alg=${1:-sm4}
city_make "$alg"

ingest() { # NAME LANES [--pace N]
	local name=$1 lanes=$2
	shift 2
	daemon_start "verify_lanes: $lanes" ${more:+"$more"}
	upload "$@"
	line "$name" taps/s "$rate" "$used" "$sent" \
		"\"own_cpu_s\":$own,\"ready_s\":$ready,$(stages),$(asked connections handshakes_ms held_batches own_late_us_p99 own_late_us_max),\"p50_us\":$(field "$work/upload.json" receipt_us_p50),\"p99_us\":$(field "$work/upload.json" receipt_us_p99),\"p999_us\":$(field "$work/upload.json" receipt_us_p999)"
}
ingest "ingest-$alg-openssl" 0
full=$rate
daemon_stop
ingest "ingest-$alg-half-load" 0 --pace $((full / 2 + 1))
daemon_stop
more="checkpoint_taps: 200000" ingest "ingest-$alg-half-load-images" 0 --pace $((full / 2 + 1))	# ten times as many images of the memory as by default
daemon_stop
# The disk alone: as many bytes appended and synced as often as half a load of 200,000 taps/s does, by a program that does nothing else.
python3 - "$work/disk" <<'P'
import os, sys, time
fd, part, took = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), bytes(160000), []
for i in range(500):
    start = time.monotonic()
    os.write(fd, part)
    os.fdatasync(fd)
    took.append(int((time.monotonic() - start) * 1e6))
    time.sleep(max(0, 0.004 - took[-1] / 1e6))
took.sort()
os.unlink(sys.argv[1])
print('{"bench":"disk-append-sync","unit":"us","value":%d,"cpu_s":0,"n":%d,"bytes":%d,"p99_us":%d,"max_us":%d}' % (took[len(took) // 2], len(took), len(part), took[len(took) * 99 // 100], took[-1]))
P
ingest "ingest-$alg-lanes" 1
read -r cpu members < <(cpu_stages)
line "cpu-$alg-lanes" s/Mtaps "$cpu" "$(cpu_s $pid)" "$sent" "$members"
line "inbox-$alg" bytes/tap "$(sum %.0f "$(stat -c %s "$QINGFEN_STORE/data.mdb") / $sent")" 0 "$sent"
# Ended: the image of the memory, and a start from it. Killed with the whole day open and no image: how fast the day is read
# again, and when a device that comes back has its first receipts.
daemon_stop
again
image=$(stat -c %s "$QINGFEN_STORE/live.image")
[ "$(replayed image) $(replayed taps)" = "yes 0" ] || fail "image: $(replayed image) $(replayed taps)"
line "restart-image-$alg" taps/s "$(sum %.0f "$sent * 1000 / ($(replayed image_ms) + $(replayed ms) + 1)")" "$(cpu_s $pid)" "$sent" \
	"\"image_ms\":$(replayed image_ms),\"image_bytes_per_tap\":$((image / sent)),\"anon_mb\":$(($(anon_kb $pid) / 1024))"
kill -9 "$pid" && wait "$pid" 2>/dev/null
echo "checkpoint_taps: 0" >>"$work/clearingd.conf"
from=$(date +%s%N)
"$B/clearingd" -c "$work/clearingd.conf" >"$work/again.log" 2>&1 &
pid=$!
timeout 300 "$B/qingfen" sim validators --city "$work/city" --connect "127.0.0.1:$port" --devices 1 --limit 300 --json >"$work/one.json" 2>"$work/upload.log" || fail "restart"
first_ms=$((($(date +%s%N) - from) / 1000000))
[ "$(replayed taps)" = "$sent" ] || fail "replayed: $(replayed taps) of $sent"
line "restart-$alg" taps/s "$(sum %.0f "$sent * 1000 / ($(replayed ms) + 1)")" "$(cpu_s $pid)" "$sent" "\"replay_ms\":$(replayed ms),\"first_device_ms\":$first_ms"
before=$(cpu_s $pid)
"$B/qingfen" day close $day --json >"$work/day.json" 2>"$work/day.log" || fail "day close"
line "clear-$alg" taps/s "$(sum %.0f "$sent * 1000 / ($(field "$work/day.json" ms) + 1)")" "$(sum %.2f "$(cpu_s $pid) - $before")" "$sent"
backed_up() { # NAME: three backups, the bytes and taps a second of the one in the middle; and what it takes of the disk
	local ms bytes
	for _ in 1 2 3; do
		rm -rf "$work/copy"
		from=$(date +%s%N)
		"$B/qingfen" backup --to "$work/copy" >"$work/backup.log" 2>&1 || fail backup
		echo $((($(date +%s%N) - from) / 1000000 + 1))
	done >"$work/rounds"
	ms=$(sort -n "$work/rounds" | sed -n 2p) bytes=$(du -sb "$work/copy" | cut -f 1)
	line "backup-$1" bytes/s $((bytes * 1000 / ms)) 0 "$bytes" "\"taps_s\":$((sent * 1000 / ms)),\"ms\":$ms"
	line "store-$1" bytes/tap "$(sum %.0f "$bytes / $sent")" 0 "$sent"
}
backed_up "$alg"
# Packed: not before the day after is closed too.
"$B/qingfen" day close "$(date -d "$day + 1 day" +%F)" --json >"$work/next.json" 2>"$work/day.log" || fail "day close"
before=$(cpu_s $pid)
from=$(date +%s%N)
"$B/qingfen" day pack $day --json >"$work/pack.json" 2>"$work/pack.log" || fail "day pack"
ms=$((($(date +%s%N) - from) / 1000000 + 1))
line "pack-$alg" taps/s $((sent * 1000 / ms)) "$(sum %.2f "$(cpu_s $pid) - $before")" "$sent"
backed_up "$alg-packed"
daemon_stop
[ "$alg" = sm4 ] || exit 0
rm -rf "$work/city" "$work/copy"
devices=${BENCH_CONNECTIONS:-10000} taps=$((taps * 2)) batch=64
city_make sm4
ingest "ingest-sm4-$devices-connections" 1
