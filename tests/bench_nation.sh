#!/usr/bin/env bash
# bench_nation.sh: one day of TAPS taps of CARDS cards through the real daemon, from the devices' TLS connections to the partners'
# files, a backup and the packed day; rates, memory and bytes of each stage, a JSON line each as soon as it is over. `make
# bench-nation` has a small day; TAPS=100000000 CARDS=50000000 BUSES=10000 is what the whole national network does in one, by
# hand. It wants 620 bytes of disk a tap in TMPDIR (the most: the day's store 190, its backup 186, the image of the daemon's
# memory twice while it is made; before that the upload 168, of which nothing stays), and looks for them first. In memory are
# 40 bytes a tap while the city is made; after that the daemon, and of the load generator a few bytes a tap and some 30 KB a
# connection: its file is read as it is sent when it is more than half of what is free. CLEAR_MEMORY_MIB and LANES=0 are
# passed on; BENCH_LIMIT is what the upload and a start may take, in seconds.
set -u
export BENCH_TAPS=${TAPS:-300000} BENCH_CARDS=${CARDS:-150000} BENCH_DEVICES=${BUSES:-1000} BENCH_LIMIT=${BENCH_LIMIT:-7200}
. "$(dirname "$0")/bench_lib.sh"
alg=${ALG:-sm4}
wanted_mb=$((taps * 620 >> 20)) free_mb=$(df --output=avail -BM "$work" | tail -1 | tr -dc 0-9)
[ "$free_mb" -ge $wanted_mb ] || fail "$work: $free_mb MB of disk free, $wanted_mb wanted"
now_ms() { echo $(($(date +%s%N) / 1000000)); }
stage() { # NAME TAPS BEGAN CPU-BEFORE [more members]: a line; the daemon's memory and the store as they are then
	local ms=$(($(now_ms) - $3 + 1)) anon=0 peak=0
	[ -z "$pid" ] || { anon=$(anon_kb $pid) peak=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' /proc/$pid/status); }
	line "nation-$1" taps/s "$(sum %.0f "$2 * 1000 / $ms")" "$(sum %.2f "$4")" "$2" \
		"\"ms\":$ms,\"cards\":$cards,\"anon_bytes_per_tap\":$((anon * 1024 / $2)),\"peak_rss_mb\":$((peak / 1024)),\"store_bytes_per_tap\":$(($(stat -c %s "$QINGFEN_STORE/data.mdb" 2>/dev/null || echo 0) / $2)),\"disk_mb\":$(du -sm "$work" | cut -f 1)${5:+,$5}"
}
used_by() { # CPU-BEFORE: the daemon's processor seconds since then
	echo "$(cpu_s $pid) - $1"
}
from=$(now_ms)
city_make "$alg"
stage made "$taps" "$from" 0 "\"city_mb\":$(du -sm "$work/city" | cut -f 1),\"city_peak_mb\":$(cat "$work/city_peak" 2>/dev/null || echo 0)"
daemon_start "verify_lanes: ${LANES:-1}" ${CLEAR_MEMORY_MIB:+"clear_memory_mib: $CLEAR_MEMORY_MIB"}
rm -f "$work/city/riders.csv"	# loaded
from=$(now_ms)
upload
read -r cpu members < <(cpu_stages)
p999=$(field "$work/upload.json" receipt_us_p999)
stage received "$sent" $(($(now_ms) - ms)) "$used" "$members,\"own_cpu_s\":$own,\"p999_us\":$p999,\"generator_peak_mb\":$(cat "$work/generator_peak"),\"generator_own_mb\":$(($(field "$work/upload.json" own_anon_kib) >> 10))"
rm -rf "$work/city/upload.qfu" "$work/city/devices"	# sent
from=$(now_ms)
daemon_stop
stage image "$sent" "$from" 0 "\"image_mb\":$(($(stat -c %s "$QINGFEN_STORE/live.image") >> 20))"
from=$(now_ms)
again
stage started "$sent" "$from" "$(cpu_s $pid)" "\"image_ms\":$(replayed image_ms),\"replayed_taps\":$(replayed taps)"
from=$(now_ms) before=$(cpu_s $pid)
timeout 7200 "$B/qingfen" day close $day --json >"$work/day.json" 2>"$work/day.log" || fail "day close"
stage cleared "$sent" "$from" "$(used_by "$before")" "\"clear_ms\":$(field "$work/day.json" ms)"
from=$(now_ms) before=$(cpu_s $pid)
timeout 7200 "$B/qingfen" day settle $day --json >"$work/settle.json" 2>"$work/settle.log"	# no partner answers here: the files are built, and wait
"$B/qingfen" day show $day 2>/dev/null | grep -qE "BUILT|APPROVED|SENT|ACKED|RECONCILED" || fail "day settle"
stage settled "$sent" "$from" "$(used_by "$before")"
from=$(now_ms)
"$B/qingfen" check >"$work/check.log" 2>&1 || fail "check"
stage checked "$sent" "$from" 0
from=$(now_ms)
"$B/qingfen" backup --to "$work/copy" >"$work/backup.log" 2>&1 || fail backup
stage backup "$sent" "$from" 0 "\"copy_bytes_per_tap\":$(($(du -sb "$work/copy" | cut -f 1) / sent))"
rm -rf "$work/copy"
"$B/qingfen" day close "$(date -d "$day + 1 day" +%F)" --json >"$work/next.json" 2>"$work/day.log" || fail "day close"
from=$(now_ms) before=$(cpu_s $pid)
"$B/qingfen" day pack $day --json >"$work/pack.json" 2>"$work/pack.log" || fail "day pack"
"$B/qingfen" backup --to "$work/copy" >"$work/backup.log" 2>&1 || fail backup
stage packed "$sent" "$from" "$(used_by "$before")" "\"copy_bytes_per_tap\":$(($(du -sb "$work/copy" | cut -f 1) / sent))"
