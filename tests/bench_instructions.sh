#!/usr/bin/env bash
# bench_instructions.sh: instructions by valgrind's callgrind, the same on a busy machine and a quiet one, one line each: of one rate(); a tap
# of the stages of a clear, and of SHA-256 in it apart, for which processors have instructions of their own; and a tap while taps are
# received, of what a front, the writer and the rater do with a batch: 102,000 taps of 60 devices in lanes, which are AVX2 there.
# Of programs built with LTO=, where functions stayed where they were written: make bench-instructions.
set -u
: "${BENCH_TAPS:=102000}" "${BENCH_CARDS:=50000}" "${BENCH_DEVICES:=60}" "${O:=build/plain}"
. "$(dirname "$0")/bench_lib.sh"
command -v valgrind >/dev/null || apt-get install -y --no-install-recommends valgrind >/dev/null 2>&1
command -v valgrind >/dev/null || fail "valgrind is not there"
told=$work/told.py
cat >"$told" <<'P'
import collections, re, sys
def calls_of(paths):	# what a function and those it called took, by its name
    calls = collections.Counter()
    for path in paths:
        names, callee, is_call = {}, None, False
        for line in open(path):
            name = re.match(r"(c?)fn=\((\d+)\)(?: (.*))?", line)
            if name:
                names.setdefault(name[2], name[3])
                callee = names[name[2]] if name[1] else callee
            elif line.startswith("calls="):
                is_call = True
            elif is_call:
                calls[callee] += int(line.split()[1])
                is_call = False
    return calls
# TAPS STAGE=FUNCTION[-FUNCTION]... -- FILE...
taps, stages, paths = int(sys.argv[1]), sys.argv[2:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]
calls = calls_of(paths)
for stage, functions in (stage.split("=") for stage in stages):
    first, *less = functions.split("-")
    if calls[first] == 0:
        sys.exit(first + " is not called by this name")
    print('{"bench":"instructions-%s","unit":"instructions/tap","value":%d,"cpu_s":0,"n":%d}' % (stage, (calls[first] - sum(calls[f] for f in less)) / taps, taps))
P

n=20000
ir=$(valgrind --tool=callgrind --callgrind-out-file="$work/rate" --toggle-collect=rate "$O/bench/bench_tariff" calls $n 2>&1 | sed -n 's/.*Collected : //p')
[ "${ir:-0}" -gt 0 ] || fail "rate() is not called by its name"
line rate-instructions instructions/op $((ir / n)) 0 $n

n=100000
CLEAR_THREADS=1 valgrind --tool=callgrind --callgrind-out-file="$work/clear" --toggle-collect=day_clear "$O/bench/bench_clear" $n >"$work/clear.log" 2>&1 || fail "bench_clear"
python3 "$told" $n clear-collect=clear_collect clear-judge=clear_judge clear-rate=clear_rate clear-write=clear_write-SHA256_Update clear-sha256=SHA256_Update -- \
	"$work/clear" || fail "bench_clear"

map_mib=4096 memory_ready=0
city_make sm4
mkdir "$work/bin"
ln -s "$B"/* "$work/bin"
rm "$work/bin/clearingd"
printf '#!/bin/sh\nexec valgrind --tool=callgrind --separate-threads=yes --callgrind-out-file=%s %s "$@"\n' "$work/calls" "$B/clearingd" >"$work/bin/clearingd"
chmod +x "$work/bin/clearingd"
B=$work/bin
daemon_start "verify_lanes: 1"
upload
daemon_stop
python3 "$told" "$sent" decode=batch_taps_decode check=batch_check_taps verify=verifier_marks brief=briefs_make thin=thin_make judge=live_judge \
	rate=job_rate append=inbox_append_batch -- "$work"/calls-* || fail "callgrind"
