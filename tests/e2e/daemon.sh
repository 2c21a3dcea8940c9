#!/usr/bin/env bash
# Bad input against the real daemon: each kind gets its own clear answer, nothing is lost, the daemon lives; and
# what was receipted survives kill -9 with the same verdicts.
set -u
cd "$(dirname "$0")/../.." || exit 1
B=$(cd "${B:-bin}" && pwd)
dir=$(mktemp -d) pid=0 status=0
trap '[ $pid -ne 0 ] && kill -9 $pid 2>/dev/null; rm -rf "$dir"' EXIT
export LC_ALL=C.UTF-8 QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
say() { if [ "$2" = 0 ]; then echo "ok - $1"; else echo "not ok - $1"; echo "${3:-}"; status=1; fi; }
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$B/qingfen" sim city --out "$dir" --seed 7 --lines 4 --devices 4 --taps 400 --day 2025-11-03 >/dev/null 2>&1 || exit 1
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" -e '/^partners:/,$d' "$dir/clearingd.conf"
start() {
	"$B/clearingd" -c "$dir/clearingd.conf" 2>>"$dir/log" &
	pid=$!
	for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && return 0; sleep 0.05; done
	return 1
}
start || { cat "$dir/log"; echo "not ok - the daemon starts"; exit 1; }
for f in terminals issuers; do "$B/qingfen" load $f "$dir/$f.csv" >/dev/null || exit 1; done
device=$(sed -n 2p "$dir/terminals.csv" | cut -d, -f3) terminal=$(sed -n 2p "$dir/terminals.csv" | cut -d, -f1)
cert=$(ls "$dir"/devices/"$device".crt "$dir"/devices/"$device".pem 2>/dev/null | head -1) key=$(ls "$dir"/devices/"$device".key "$dir"/devices/"$device".pem 2>/dev/null | head -1)
ca=$(ls "$dir"/ca.crt "$dir"/ca.pem 2>/dev/null | head -1)
probe() { timeout 20 "$B/qingfen" sim probe --connect "127.0.0.1:$port" --ca "$ca" --cert "$cert" --key "$key" --device "$device" --terminal "$terminal" "$1"; }
expect() { # sentence case pattern
	local answer
	answer=$(probe "$2" 2>&1)
	grep -q "$3" <<<"$answer" && kill -0 $pid 2>/dev/null
	say "$1" $? "$answer"
}
expect "a good batch is receipted" good '"answer":"receipt","repeated":false,"verdicts":\["accepted","accepted","accepted"\]'
expect "the same batch again gets the same verdicts" good '"answer":"receipt","repeated":true,"verdicts":\["accepted","accepted","accepted"\]'
expect "one bad record harms only itself" bad-record '"verdicts":\["accepted","malformed","accepted"\]'
expect "a later record version's extra field is skipped" later-field '"verdicts":\["accepted","accepted","accepted"\]'
expect "a wrong count is refused by name" wrong-count '"code":-1007.*count'
expect "a wrong digest is refused by name" wrong-digest '"code":-1009.*digest'
expect "a wrong total is refused by name" wrong-total '"code":-1008.*total'
expect "wrong serials are refused by name" wrong-serials '"code":-1010.*serial'
expect "a batch of another device is refused" other-device '"code":-1004'
expect "a msgpack bomb is refused" bomb '"code":-1006'
expect "a frame larger than any is refused" oversize '"code":-1012'
expect "an unknown frame is refused" unknown-frame '"code":-1012'
expect "a batch before hello is refused" no-hello 'hello comes first'
expect "a frame cut off is not applied" truncated '"answer":"closed"'
answer=$(timeout 20 "$B/qingfen" sim probe --connect "127.0.0.1:$port" --ca "$ca" --device "$device" --terminal "$terminal" good 2>&1)
grep -q '"answer":"closed"' <<<"$answer"; say "no client certificate, no conversation" $? "$answer"
python3 - "$QINGFEN_SOCKET" >"$dir/out" <<'P'
import json, re, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'{"cmd":"metrics"}\n')
m = {k: int(v) for k, v in re.findall(r"^(qingfen_\S+) (\d+)$", json.loads(s.makefile().read())["text"], re.M)}
stages = {k: v for k, v in m.items() if "stage_ns" in k}
cpu = [v for k, v in m.items() if "thread_cpu" in k]
for of in stages, m:	# without a tariff nothing is rated
	of.pop('qingfen_stage_ns_total{stage="rate"}')
cpu.remove(m['qingfen_thread_cpu_ns_total{thread="rater"}'])
writer = m['qingfen_stage_taps_total{thread="writer"}']
ok = len(stages) == 8 and min(stages.values()) > 0 and len(cpu) == 4 and min(cpu) > 0
ok = ok and writer == m["qingfen_taps_received_total"] > 0 and m['qingfen_stage_taps_total{thread="front"}'] >= writer
ok = ok and m["qingfen_handshakes_total"] >= 14 and m["qingfen_commit_batches_total"] >= m["qingfen_commits_total"] > 0
print(m)
sys.exit(not ok)
P
say "the metrics count every stage of a tap's way, each thread's time and the commits" $? "$(cat "$dir/out")"
before=$("$B/qingfen" status --json)
kill -9 $pid; wait $pid 2>/dev/null
start; say "the daemon starts again after kill -9" $?
expect "after kill -9 the same batch gets the same verdicts" good '"repeated":true,"verdicts":\["accepted","accepted","accepted"\]'
a=$(grep -o '"verdicts":{[^}]*}' <<<"$before") b=$("$B/qingfen" status --json | grep -o '"verdicts":{[^}]*}')
[ "$a" = "$b" ]; say "after kill -9 the counts of every verdict are the same" $? "$a $b"
grep -q 'event=replayed events=[1-9][0-9]* taps=[1-9]' "$dir/log"; say "a start tells how many taps it read again" $? "$(grep replayed "$dir/log")"
sed /^test_keys:/d "$dir/clearingd.conf" >"$dir/production.conf"
"$B/clearingd" -c "$dir/production.conf" 2>"$dir/refused"; [ $? -ne 0 ] && grep -q "^.*test-keys.*refused" "$dir/refused" && grep -q "test-keys.*TEST KEYS IN USE" "$dir/log"
say "test keys are refused where the configuration does not ask for them, and announced where it does" $?
sed /^test_keys:/d "$dir/clearingd.conf" >"$dir/production.conf"
"$B/clearingd" -c "$dir/production.conf" 2>"$dir/refused"; [ $? -ne 0 ] && grep -q "test-keys.*refused" "$dir/refused" && grep -q "test-keys.*TEST KEYS IN USE" "$dir/log"
say "test keys are refused where the configuration does not ask for them, and announced where it does" $? "$(cat "$dir/refused")"
"$B/clearingd" -c "$dir/clearingd.conf" 2>/dev/null; [ $? -eq 6 ]; say "a second daemon on the store is refused" $?
printf 'listen: 127.0.0.1:1\nstor: x\nthreads: many\nthreads: 2\n' >"$dir/bad.conf"
"$B/clearingd" -c "$dir/bad.conf" 2>"$dir/err"; [ $? -eq 3 ] && grep -q 'bad.conf:4:1: duplicate key: threads' "$dir/err"; say "a duplicate key refuses the configuration with its place" $? "$(cat "$dir/err")"
printf 'listen: 127.0.0.1:1\nstor: x\nthreads: many\n' >"$dir/bad.conf"
"$B/clearingd" --check-config -c "$dir/bad.conf" 2>"$dir/err"; [ $? -eq 3 ] && grep -q 'bad.conf:2:1: unknown key "stor", did you mean "store"' "$dir/err" && grep -q 'bad.conf:3:10' "$dir/err"
say "every mistake in a configuration is named in one run, with suggestions" $? "$(cat "$dir/err")"
printf 'terminal,psam,device,operator,valid_from,valid_to\n42800000001X,428000000010,V,101,2025-01-01,\n' >"$dir/t.csv"
answer=$("$B/qingfen" load terminals "$dir/t.csv" 2>&1); [ $? -eq 9 ] && grep -q 'terminals.csv:2:1: a terminal number of 12 digits' <<<"$answer"; say "a bad terminal register is refused with line and column" $? "$answer"
kill $pid; wait $pid; say "SIGTERM ends the daemon with 0" $?
pid=0
exit $status
