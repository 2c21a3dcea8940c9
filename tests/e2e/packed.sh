#!/usr/bin/env bash
# Closed days packed under a running daemon: by hand, by itself after a kill, damaged; whoever reads the store reads what was
# there before.
. "$(dirname "$0")/lib.sh"
O=${O:-build/gcc} pid=0
trap '[ $pid -ne 0 ] && kill -9 $pid 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
day=2025-11-03
q() { "$B/qingfen" "$@"; }
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
q sim city --out "$dir" --seed 5 --lines 4 --devices 12 --taps 4000 --day $day >/dev/null 2>&1 || exit 1
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" -e '/^partners:/,$d' "$dir/clearingd.conf"
echo 'pack_after_days: 0' >>"$dir/clearingd.conf"
start() {
	"$B/clearingd" -c "$dir/clearingd.conf" 2>>"$dir/log" & pid=$!
	for _ in $(seq 200); do q status >/dev/null 2>&1 && return; sleep 0.05; done
}
stop() { kill $pid; wait $pid 2>/dev/null; pid=0; }
told() { grep -o "\"$1\":[0-9]*" <<<"$2" | cut -d: -f2; }
start
q load tariff tariffs/packs/ganzhou >/dev/null
for f in terminals issuers riders; do q load $f "$dir/$f.csv" >/dev/null; done
q sim validators --city "$dir" --connect "127.0.0.1:$port" >"$dir/sent" 2>&1 || { cat "$dir/sent"; exit 1; }
q day close $day >/dev/null || exit 1
q day pack $day >/dev/null 2>"$dir/out"; [ $? -eq 9 ] && grep -q 'not the one before the open day' "$dir/out"
say "the day before the open one is not packed, and why" $? "$(cat "$dir/out")"
q day close 2025-11-04 >/dev/null || exit 1
look() { # everything that is read of the day, into a folder
	mkdir -p "$1"
	q dump --canonical >"$1/dump"
	q recompute $day >"$1/recompute"
	q report $day --form D-01 --format csv >"$1/report"
	id=$(grep -o '"tap":"[^"]*"' "$1/dump" | sed -n 40p | cut -d'"' -f4)
	q explain tap "$id" >"$1/explain" 2>&1
	q evidence $day --to "$1/evidence.qfe" >/dev/null 2>"$1/evidence"; q verify "$1/evidence.qfe" >"$1/verify" 2>&1
	q check >"$1/check" 2>&1
}
look "$dir/before"
grep -q 'byte-identical' "$dir/before/recompute" && [ ! -s "$dir/before/check" ]; say "the day is there to be packed" $? "$(cat "$dir/before/recompute" "$dir/before/check")"
size() { python3 - "$1" <<'P'
import os, sys
print(os.path.getsize(sys.argv[1] + "/data.mdb"))
P
}
q backup --to "$dir/backup1" >/dev/null
packed=$(q day pack $day --json); before=$(told bytes_before "$packed") after=$(told bytes_after "$packed")
[ "$(told batches "$packed")" -gt 30 ] && [ "$after" -lt $((before / 2)) ]; say "a packed day takes less than half" $? "$packed"
look "$dir/after"
diff -r "$dir/before" "$dir/after" >"$dir/out"; say "dump, recompute, report, explanation, evidence and checks are the same, byte for byte" $? "$(head -20 "$dir/out")"
grep -q '"packed":true' <<<"$(q day show $day --json)" && grep -q "\"packed_bytes_after\":$after" <<<"$(q status --json)"
say "the day and the status say what packing saved" $? "$(q day show $day --json; q status --json)"
python3 - "$QINGFEN_SOCKET" "$before" "$after" >"$dir/out" <<'P'
import json, re, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'{"cmd":"metrics"}\n')
m = {k: int(v) for k, v in re.findall(r"^(qingfen_\S+) (\d+)$", json.loads(s.makefile().read())["text"], re.M)}
seen = [m.get("qingfen_packed_" + k) for k in ("days", "bytes_before", "bytes_after")]
print(seen, m.get("qingfen_store_free_bytes"))
sys.exit(seen != [1, int(sys.argv[2]), int(sys.argv[3])] or m["qingfen_store_free_bytes"] < (seen[1] - seen[2]) / 2)
P
say "the metrics too, and what is free in the store now" $? "$(cat "$dir/out")"
q backup --to "$dir/backup2" >/dev/null
[ "$(size "$dir/backup2")" -lt $(($(size "$dir/backup1") - (before - after) / 2)) ]; say "a backup is smaller by what packing saved" $? "$(size "$dir/backup1") $(size "$dir/backup2")"
q restore --from "$dir/backup2" --to "$dir/restored" >/dev/null && q recompute $day --store "$dir/restored" | cmp - "$dir/before/recompute"
say "a restored backup is cleared again to the same bytes" $?
stop
# The store of before, packed by the daemon itself, which was killed before it did.
rm -rf "$dir/store" "$dir/log" && q restore --from "$dir/backup1" --to "$dir/store" >/dev/null || exit 1
sed -i 's/^pack_after_days: 0/pack_after_days: 1/' "$dir/clearingd.conf"
start
kill -9 $pid; wait $pid 2>/dev/null
start
for _ in $(seq 100); do grep -q "event=day-packed day=$day" "$dir/log" && break; sleep 0.1; done
grep -q "event=day-packed day=$day batches=$(told batches "$packed") " "$dir/log"; say "a day is packed by itself after its days are over" $? "$(tail -3 "$dir/log")"
q check && q dump --canonical | cmp - "$dir/before/dump"; say "and says the same" $?
stop
python3 - "$dir/store/data.mdb" <<'P'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
# A bundle: pages of its own that begin with version 1, parts 2 and their bytes 4; a block of rows is compressed from its sixth byte.
import struct
found = 0
for at in range(0, len(data), 4096):
    if struct.unpack_from("<Q2xH", data, at) == (at // 4096, 4) and data[at + 16] == 1 and struct.unpack_from(">I", data, at + 19)[0] > 40000 and data[at + 21:at + 25] != b"\x28\xb5\x2f\xfd":
        data[at + 2000] ^= 1
        found += 1
if found == 0:
    sys.exit("no bundle found")
open(sys.argv[1], "wb").write(data)
P
say "a bit of a bundle is flipped" $?
q check packed >"$dir/out" 2>&1; [ $? -ne 0 ] && grep -q 'packed: bundle [0-9]* of 2025-11-03: the store is damaged: packed batches' "$dir/out"
say "which is found, with the bundle's number and day" $? "$(cat "$dir/out")"
q recompute $day >"$dir/out" 2>&1; [ $? -eq 4 ] && grep -q 'packed batches of a closed day do not unpack' "$dir/out"
say "and a day of it is refused, not guessed" $? "$(cat "$dir/out")"
for t in confirm rerate distrust; do
	HOUSE_PACKED=1 "$O/tests/test_$t" >"$dir/out" 2>&1; say "test_$t holds in a house that packs its days" $? "$(grep -E 'ERROR|LINE' "$dir/out")"
done
exit $status
