#!/usr/bin/env bash
# Benchmarks, one JSON line each: {"bench":...,"unit":...,"value":...,"cpu_s":...,"n":...}.
# First the programs in $O/bench, then whole processes: what-if, tests/bench_day.sh for ingest, starts, clear, backup and
# packing, tests/bench_memory.sh. BENCH_TAPS BENCH_CARDS BENCH_DEVICES set the size of that day.
set -u
cd "$(dirname "$0")/.." || exit 1
B=${B:-bin} O=${O:-build/gcc}
B=$(cd "$B" && pwd) || exit 1
pack=$PWD/tariffs/packs/ganzhou
export LC_ALL=C.UTF-8
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
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

for alg in sm4 3des; do tests/bench_day.sh $alg || exit 1; done
tests/bench_memory.sh || exit 1
