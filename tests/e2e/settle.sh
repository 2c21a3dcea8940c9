#!/usr/bin/env bash
# Settlement against the built-in partners: down, resetting, answering wrongly; and an evidence pack that no changed
# byte survives.
. "$(dirname "$0")/lib.sh"
pids=()
trap 'for p in "${pids[@]}"; do kill -9 $p 2>/dev/null; done; wait 2>/dev/null; rm -rf "$dir"' EXIT
port() { python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
day=2025-11-03 p=$(port) t=$(port) b=$(port)
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
"$B/qingfen" sim city --out "$dir" --seed 9 --lines 6 --devices 6 --taps 900 --day $day >/dev/null 2>&1 || exit 1
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$p|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" \
	-e "s|127.0.0.1:7501|127.0.0.1:$t|" -e "s|127.0.0.1:7502|127.0.0.1:$b|" "$dir/clearingd.conf"
"$B/clearingd" -c "$dir/clearingd.conf" 2>"$dir/log" & pids+=($!)
for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && break; sleep 0.05; done
"$B/qingfen" load tariff tariffs/packs/ganzhou >/dev/null
for f in terminals issuers riders; do "$B/qingfen" load $f "$dir/$f.csv" >/dev/null; done
"$B/qingfen" load blacklist "$dir/blacklist.csv" --version 1 >/dev/null
timeout 60 "$B/qingfen" sim validators --city "$dir" --connect "127.0.0.1:$p" --json >/dev/null 2>&1
"$B/qingfen" day settle $day >/dev/null 2>&1; is "a day that is not cleared cannot be settled" 9 $?
"$B/qingfen" day close $day >/dev/null; is "the day is cut and cleared" 0 $?
"$B/qingfen" day close $day >/dev/null 2>&1; is "closing it again is refused and changes nothing" 9 $?
"$B/qingfen" day settle $day >/dev/null 2>&1; is "partners that are out: unreachable, nothing lost" 7 $?
is "the files wait in the outbox" BUILT "$("$B/qingfen" day show $day --json | grep -o '"state":"[A-Z]*"' | cut -d'"' -f4 | sed s/APPROVED/BUILT/)"
"$B/qingfen" sim tunion --city "$dir" --listen "127.0.0.1:$t" --fault reset-after-accept 2>/dev/null & pids+=($!)
"$B/qingfen" sim bank --city "$dir" --listen "127.0.0.1:$b" 2>/dev/null & pids+=($!)
sleep 0.5
"$B/qingfen" day settle $day >"$dir/out" 2>&1; grep -q RECONCILED "$dir/out"; say "a partner that takes the file and drops the answer gets it once" $? "$(cat "$dir/out" "$dir/log" | tail -5)"
is "the partner holds one file" 1 "$(ls "$dir/tunion/in" | wc -l)"
"$B/qingfen" day close 2025-11-04 >/dev/null
"$B/qingfen" check >"$dir/out" 2>&1 && [ ! -s "$dir/out" ]; say "the invariants hold after the answers are booked" $? "$(cat "$dir/out")"
"$B/qingfen" recompute 2025-11-04 >"$dir/out" 2>&1; say "the day the answers came in recomputes to the same bytes" $? "$(cat "$dir/out")"
pending=$("$B/qingfen" report $day --form D-01 | python3 -c 'import json,sys; print(sum(r["charged_fen"] for r in json.load(sys.stdin)["rows"] if r["state"] == "待确认"))')
booked=$("$B/qingfen" dump --canonical --date 2025-11-04 | python3 -c 'import json,sys
n = 0
for l in sys.stdin:
    d = json.loads(l)
    if d.get("reason") in (5, 6) and d["credit"] // 1000000 == 4 or d.get("reason") == 6: n += d["sum_fen"]
print(n)')
is "every pending fen was confirmed or refused" "$pending" "$booked"
# answers that must be refused whole
fb=$(ls "$dir"/tunion/out/FB* | head -1); name=$(basename "$fb")
before=$("$B/qingfen" dump --canonical | sha256sum)
bad() { # number, what to change, kind of file
	python3 - "${fb/FB/${3:-FB}}" "$dir/tunion/out/${3:-FB}${name:2:-1}$1A" "$2" <<'PY'
import sys
text = open(sys.argv[1], encoding="ascii", newline="").read()
lines = text.split("\r\n")
exec(sys.argv[3])
open(sys.argv[2], "w", newline="", encoding="ascii").write("\r\n".join(lines))
PY
}
bad 1 'lines = lines[:3] + lines[4:]' CR
bad 2 'lines[2] = lines[2][:-1]'
bad 3 'lines[2] = lines[2][:32] + "999999999999" + lines[2][44:]'
bad 4 'lines[2] = lines[2].replace("0", "x", 1)'
bad 5 'lines[0] = "09"'
bad 6 'pass'
for _ in $(seq 100); do [ "$(grep -c answer-refused "$dir/log")" -ge 6 ] && break; sleep 0.1; done
[ "$(grep -c answer-refused "$dir/log")" -ge 6 ]; say "six wrong answer files are refused, each whole" $? "$(grep answer "$dir/log")"
for reason in "count is not the number of records" "another form" "no item of ours has this number" "version 01 is needed" "answered before"; do
	grep -q "answer-refused.*$reason" "$dir/log"; say "refused with its reason: $reason" $?
done
is "a refused answer changes nothing" "$before" "$("$B/qingfen" dump --canonical | sha256sum)"
digest=$("$B/qingfen" day show $day --json | python3 -c 'import json, sys; row = json.load(sys.stdin); print(row["sha256_of"], row["sha256"])')
is "the digest of a day follows from its dump by the script of docs/store.md" "$digest" \
	"rows $("$B/qingfen" dump --canonical --date $day | python3 -c "$(sed -n '/^```python$/,/^```$/p' docs/store.md | sed '1d;$d')" $day)"
"$B/qingfen" evidence $day --to "$dir/a.qfe" && "$B/qingfen" evidence $day --to "$dir/b.qfe" && cmp -s "$dir/a.qfe" "$dir/b.qfe"; say "an evidence pack is the same bytes each time" $?
"$B/qingfen" verify "$dir/a.qfe" >/dev/null; is "the pack verifies with no store" 0 $?
python3 - "$B/qingfen" "$dir/a.qfe" "$dir/flip.qfe" <<'PY'
import random, subprocess, sys
data = open(sys.argv[2], "rb").read()
random.seed(20251103)
passed = []
for at in random.sample(range(len(data)), 150):
    changed = bytearray(data)
    changed[at] ^= 1 << random.randrange(8)
    open(sys.argv[3], "wb").write(changed)
    if subprocess.run([sys.argv[1], "verify", sys.argv[3]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 1:
        passed.append(at)
print(passed[:10])
sys.exit(bool(passed))
PY
say "a pack with one bit changed anywhere is refused" $?
# Another digest of the day, and a manifest made anew: only what the taps say can tell.
python3 - "$dir/a.qfe" "$dir/forged.qfe" <<'PY'
import hashlib, io, json, re, sys, tarfile
parts = {m.name: tarfile.open(sys.argv[1]).extractfile(m.name).read() for m in tarfile.open(sys.argv[1])}
data = bytearray(open(sys.argv[1], "rb").read())
day = parts["day.json"]
at = day.index(b'"rows_sha256":"') + 15
forged = day[:at] + (b"0" if day[at:at + 1] != b"0" else b"1") + day[at + 1:]
manifest = parts["MANIFEST.json"].replace(hashlib.sha256(day).hexdigest().upper().encode(), hashlib.sha256(forged).hexdigest().upper().encode())
sm3 = lambda p: hashlib.new("sm3", p).hexdigest().upper().encode()
manifest = manifest.replace(sm3(day), sm3(forged))
for before, after in ((day, forged), (parts["MANIFEST.json"], manifest)):
    assert len(before) == len(after) and before != after
    where = bytes(data).index(before)
    data[where:where + len(after)] = after
open(sys.argv[2], "wb").write(data)
PY
is "a day's digest that does not follow from the taps is told, and nothing else is wrong" " 6" "$("$B/qingfen" verify "$dir/forged.qfe" | grep 'DOES NOT HOLD' | cut -c 1-2)"
exit $status
