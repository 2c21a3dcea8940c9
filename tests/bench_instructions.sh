#!/usr/bin/env bash
# bench_instructions.sh: instructions a tap while taps are received, by valgrind's callgrind, of what a front, the writer and the rater
# do with a batch: the same on a busy machine and a quiet one. 102,000 taps of 60 devices in lanes, which are AVX2 there. One line each.
set -u
: "${BENCH_TAPS:=102000}" "${BENCH_CARDS:=50000}" "${BENCH_DEVICES:=60}"
. "$(dirname "$0")/bench_lib.sh"
command -v valgrind >/dev/null || fail "valgrind is not there"
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
python3 - "$sent" "$work"/calls-* <<'P'
import collections, re, sys
sent, calls = int(sys.argv[1]), collections.Counter()	# what a function and those it called took, by its name
for path in sys.argv[2:]:
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
for stage, function in (("decode", "batch_taps_decode"), ("check", "batch_check_taps"), ("verify", "verifier_marks"), ("brief", "briefs_make"),
                        ("thin", "thin_make"), ("judge", "live_judge"), ("rate", "job_rate"), ("append", "inbox_append_batch")):
    print('{"bench":"instructions-%s","unit":"instructions/tap","value":%d,"cpu_s":0,"n":%d}' % (stage, calls[function] / sent, sent))
P
