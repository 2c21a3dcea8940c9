#!/usr/bin/env bash
# What a device brings that no key has proven: set aside beyond its cap, explained, released by a person, settled once.
. "$(dirname "$0")/lib.sh"
pid=0
trap '[ $pid -ne 0 ] && kill -9 $pid 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
day=2025-11-03 next=2025-11-04
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$B/qingfen" sim city --out "$dir" --seed 11 --lines 4 --devices 4 --taps 600 --day $day >/dev/null 2>&1 || exit 1
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" \
	-e '/^partners:/,$d' "$dir/clearingd.conf"
cp "$dir/clearingd.conf" "$dir/plain.conf"
echo "unproven_fen_max: 3000" >>"$dir/clearingd.conf"
start() { # configuration
	"$B/clearingd" -c "$dir/$1.conf" 2>>"$dir/log" & pid=$!
	for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && return; sleep 0.05; done
}
stop() { kill -TERM $pid; wait $pid; pid=0; }
field() { python3 -c 'import json, sys
d = json.load(sys.stdin)
for k in sys.argv[1].split("."): d = d.get(k, 0)
print(d)' "$1"; }
start clearingd
"$B/qingfen" load tariff tariffs/packs/ganzhou >/dev/null
"$B/qingfen" tariff person zhang --to "$dir/zhang.key" >"$dir/persons.csv"
for f in terminals issuers riders persons; do "$B/qingfen" load $f "$dir/$f.csv" >/dev/null; done
"$B/qingfen" load blacklist "$dir/blacklist.csv" --version 1 >/dev/null
timeout 60 "$B/qingfen" sim validators --city "$dir" --connect "127.0.0.1:$port" --json >/dev/null 2>&1
"$B/qingfen" status --json >"$dir/status"
early=$(field verdicts.quarantined <"$dir/status")
[ "$early" -gt 0 ] && [ "$(field devices_beyond_cap <"$dir/status")" -gt 0 ] && [ "$(field unproven_cap_fen <"$dir/status")" = 3000 ]
say "receipts set records beyond the cap aside at once" $? "$(cat "$dir/status")"
grep -q 'device-beyond-cap alarm=1 device=' "$dir/log"; say "with an alarm that names the device" $? "$(tail -3 "$dir/log")"
beyond=$(printf '{"cmd":"metrics"}\n' | python3 -c 'import json, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(sys.stdin.buffer.read())
print(json.loads(s.makefile().readline())["text"])' "$QINGFEN_SOCKET" | sed -n 's/^qingfen_devices_beyond_cap //p')
is "and a metric" "$(field devices_beyond_cap <"$dir/status")" "$beyond"
stop; start clearingd
is "a restart judges the same, and makes no second event of the cap" "$early 1" "$("$B/qingfen" status --json | field verdicts.quarantined) $(grep -c 'event=device-cap ' "$dir/log")"
"$B/qingfen" day close $day --json >"$dir/close"
aside=$(field verdicts.quarantined <"$dir/close")
"$B/qingfen" device aside --json >"$dir/aside"
[ "$aside" -gt 0 ] && [ "$(wc -l <"$dir/aside")" = "$aside" ]; say "the clear sets aside what is listed as waiting" $? "$aside; $(wc -l <"$dir/aside")"
python3 - "$dir" "$B/qingfen" $day 3000 <<'PY'; say "by each device's records in the order of their time, and none that a key has proven" $? "$(cat "$dir/py")"
# the sum again from the canonical dump and the explanations
import collections, json, subprocess, sys
dir, qingfen, day, cap = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
wait = [json.loads(l) for l in open(dir + "/aside")]
first = collections.defaultdict(lambda: "9")
for w in wait:
    moment = w["tap"].split("-")[2]
    first[w["device"]] = min(first[w["device"]], moment)
bad = []
for w in wait:
    if w["check"] in ("good", "bad", "grey"): bad.append(w)
for device, moment in first.items():
    w = [x for x in wait if x["device"] == device and x["tap"].split("-")[2] == moment][0]
    e = json.loads(subprocess.run([qingfen, "explain", "tap", w["tap"], "--json"], capture_output=True).stdout)
    # the first one set aside is the one with which the sum goes above the cap
    if not (cap < e["unproven_fen"] <= cap + 3000 and e["unproven_cap_fen"] == cap and e["verdict"] == "quarantined"): bad.append(e)
print(bad, file=open(dir + "/py", "w"))
sys.exit(1 if bad or not wait else 0)
PY
tap=$(head -1 "$dir/aside" | field tap)
"$B/qingfen" explain tap "$tap" | grep -q '超过限额 +30.00'; say "an explanation tells the sum and the cap" $? "$("$B/qingfen" explain tap "$tap")"
"$B/qingfen" tariff person li --to "$dir/li.key" >/dev/null
"$B/qingfen" device release "$tap" --by zhang --key "$dir/li.key" >/dev/null 2>&1; is "a signature of somebody else releases nothing" 9 $?
"$B/qingfen" device release "$tap" --by zhang --key "$dir/zhang.key" >"$dir/out" 2>&1 && grep -q "settles:$next" "$dir/out"; say "a person on the list releases one record" $? "$(cat "$dir/out")"
"$B/qingfen" device release "$tap" --by zhang --key "$dir/zhang.key" >/dev/null 2>&1; is "a second release is refused" 9 $?
"$B/qingfen" day close $next --json >/dev/null
is "it settles on the day of the release" "$next" "$("$B/qingfen" explain tap "$tap" --json | field day)"
is "released by whom is told" zhang "$("$B/qingfen" explain tap "$tap" --json | field released_by)"
"$B/qingfen" report $next --form D-05 | grep -q '"released"' && "$B/qingfen" report $day --form D-05 | grep -q '"quarantined"'; say "both days' exception reports have their line" $? "$("$B/qingfen" report $next --form D-05)"
is "one record less waits" $((aside - 1)) "$("$B/qingfen" device aside --json | wc -l)"
for d in $day $next; do timeout 1 "$B/qingfen" day settle $d >/dev/null 2>&1; done	# builds the reports; no partner is there to wait for
stop; start plain
is "another configuration is another event, for days to come" 2 "$(grep -c 'event=device-cap ' "$dir/log")"
"$B/qingfen" recompute $day >"$dir/out" 2>&1 && "$B/qingfen" recompute $next >>"$dir/out" 2>&1; say "both days are cleared again to the same bytes without the configured cap" $? "$(cat "$dir/out")"
"$B/qingfen" check >"$dir/out" 2>&1 && [ ! -s "$dir/out" ]; say "the invariants hold" $? "$(cat "$dir/out")"
exit $status
