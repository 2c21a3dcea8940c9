#!/usr/bin/env bash
# Benchmarks, one JSON line each: {"bench":...,"unit":...,"value":...,"cpu_s":...,"n":...}.
# First the programs in $O/bench, then the whole: ingest (durable, codes verified, TLS 1.3 with
# client certificates, load generator on the same machine) and clear, on a generated city sealed
# beforehand. cpu_s is the daemon's processor time, from /proc.
# BENCH_TAPS BENCH_DEVICES BENCH_LINES BENCH_PARALLEL set the size.
set -u
cd "$(dirname "$0")/.." || exit 1
B=${B:-bin} O=${O:-build/gcc}
B=$(cd "$B" && pwd) || exit 1
taps=${BENCH_TAPS:-200000} devices=${BENCH_DEVICES:-500} lines=${BENCH_LINES:-60}
parallel=${BENCH_PARALLEL:-64} day=2025-11-03 pack=$PWD/tariffs/packs/ganzhou pid=
export LC_ALL=C.UTF-8
work=$(mktemp -d)
clean_up() {
	[ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
fail() {
	echo "bench: $1" >&2
	tail -n 10 "$work"/*.log >&2 2>/dev/null
	exit 1
}

for program in "$O"/bench/bench_*; do
	case $program in *.o|*.d) continue ;; esac
	[ -x "$program" ] && { timeout 300 "$program" || fail "$program"; }
done

# Instructions of one rate(): the same number on a loaded machine. Installs valgrind when it is missing.
command -v valgrind >/dev/null || apt-get install -y --no-install-recommends valgrind >/dev/null 2>&1 || true
if command -v valgrind >/dev/null; then
	n=20000
	ir=$(valgrind --tool=callgrind --callgrind-out-file="$work/callgrind" --toggle-collect=rate "$O/bench/bench_tariff" calls $n 2>&1 |
		sed -n 's/.*Collected : //p')
	printf '{"bench":"rate-instructions","unit":"instructions/op","value":%d,"cpu_s":0,"n":%d}\n' $((ir / n)) $n
fi

# A day of a million rides rated twice, live pack and draft, as a whole process.
python3 - "$work/day.ndjson" <<'PYTHON'
import random, sys
random.seed(7)
lines = [l.split(",")[0] for l in open("tariffs/packs/ganzhou/lines.csv", encoding="utf-8").read().splitlines()[1:]]
groups = [[], [], [], ["elder65"], ["pupil"]]
import json
with open(sys.argv[1], "w", encoding="utf-8") as f:
    for i in range(1000000):
        card = random.randrange(400000)
        s = 21600 + i * 57600 // 1000000
        tap = {"card": "c%d" % card, "time": "2025-11-03T%02d:%02d:%02d" % (s // 3600, s // 60 % 60, s % 60), "line": random.choice(lines), "vehicle": "V%d" % (card % 900)}
        if groups[card % 5]: tap["holds"] = groups[card % 5]
        f.write(json.dumps(tap, ensure_ascii=False) + "\n")
PYTHON
cp -r tariffs/packs/ganzhou "$work/draft"
sed -i 's/price: 90%/price: 85%/; s/^version: .*/version: 209901/' "$work"/draft/*.yaml
sed -i '2,$d' "$work/draft/cases.csv"; "$B/qingfen" tariff check "$work/draft" >"$work/draft.log" 2>&1
for _ in 1 2 3; do
	python3 - "$work" "$B/qingfen" tariff what-if "$work/draft" --taps "$work/day.ndjson" --live "$pack" --json <<'PYTHON' || fail "what-if"
import resource, subprocess, sys, time
work, start = sys.argv[1], time.monotonic()
code = subprocess.call(sys.argv[2:], stdout=open(work + "/whatif.json", "w"), stderr=open(work + "/whatif.log", "w"))
ms, used = (time.monotonic() - start) * 1000, resource.getrusage(resource.RUSAGE_CHILDREN)
print(round(ms), "%.2f" % (used.ru_utime + used.ru_stime), used.ru_maxrss // 1024, file=open(work + "/rounds", "a"))
sys.exit(code)
PYTHON
done
sort -n "$work/rounds" | sed -n 2p | while read -r ms cpu mb; do
	printf '{"bench":"what-if-1m-taps","unit":"ms","value":%s,"cpu_s":%s,"n":1000000,"peak_mb":%s,"file_mb":%s}\n' "$ms" "$cpu" "$mb" \
		$(($(stat -c %s "$work/day.ndjson") / 1000000))
done
rm -f "$work/day.ndjson"

# Processor seconds of a process so far, its threads included.
cpu_s() {
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); printf "%.2f", ($12 + $13) / hz }' \
		"/proc/$1/stat"
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }
line() { # bench unit value cpu_s n
	printf '{"bench":"%s","unit":"%s","value":%s,"cpu_s":%s,"n":%s}\n' "$@"
}
minus() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a - b }'; }
rate() { awk -v n="$1" -v ms="$2" 'BEGIN { printf "%.0f", n * 1000 / (ms > 0 ? ms : 1) }'; }
field() { # FILE NAME: a member of a JSON object
	python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"
}

port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$B/qingfen" sim city --out "$work/city" --lines "$lines" --devices "$devices" --taps "$taps" \
	--day $day >"$work/city.log" 2>&1 || fail "sim city"
sed -i -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e '/^partners:/,$d' \
	"$work/city/clearingd.conf"
export QINGFEN_STORE=$work/city/store QINGFEN_SOCKET=$work/city/clearingd.sock
"$B/clearingd" -c "$work/city/clearingd.conf" >"$work/clearingd.log" 2>&1 &
pid=$!
for _ in $(seq 100); do "$B/qingfen" status >/dev/null 2>&1 && break; sleep 0.1; done
for what in "tariff $pack" "terminals $work/city/terminals.csv" "issuers $work/city/issuers.csv" \
	"blacklist $work/city/blacklist.csv --version 1" "riders $work/city/riders.csv"; do
	# shellcheck disable=SC2086
	"$B/qingfen" load $what >>"$work/load.log" 2>&1 || fail "load $what"
done

before=$(cpu_s $pid)
timeout 300 "$B/qingfen" sim validators --city "$work/city" --connect "127.0.0.1:$port" \
	--parallel "$parallel" --json >"$work/upload.json" 2>"$work/upload.log" || fail "sim validators"
cpu=$(minus "$(cpu_s $pid)" "$before")
sent=$(field "$work/upload.json" sent) ms=$(field "$work/upload.json" ms)
line ingest taps/s "$(rate "$sent" "$ms")" "$cpu" "$sent"
line ingest-receipt-p50 us "$(field "$work/upload.json" receipt_us_p50)" "$cpu" "$sent"
line ingest-receipt-p99 us "$(field "$work/upload.json" receipt_us_p99)" "$cpu" "$sent"

before=$(cpu_s $pid)
"$B/qingfen" day close $day --json >"$work/day.json" 2>"$work/day.log" || fail "day close"
ms=$(field "$work/day.json" ms)
line clear taps/s "$(rate "$sent" "$ms")" "$(minus "$(cpu_s $pid)" "$before")" "$sent"
