#!/usr/bin/env bash
# Identity codes asked about while the rider stands there: good, refused, shown at two gates, slow, the platform gone, the daemon away.
. "$(dirname "$0")/lib.sh"
pids=() daemon=0 server=0
trap 'for p in "${pids[@]}"; do kill -9 $p 2>/dev/null; done; wait 2>/dev/null; rm -rf "$dir"' EXIT
port() { python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
p=$(port) i=$(port) day=$(TZ=UTC-5 date +%F)
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
"$B/qingfen" sim city --out "$dir" --seed 11 --lines 4 --devices 4 --taps 100 --day "$day" >/dev/null 2>&1 || exit 1
"$B/qingfen" sim identity --dir "$dir/identity" --init; cp "$dir/identity/formats.txt" "$dir/formats.txt"
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$p|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" \
	-e "s|^qr_ca:.*|code_formats: formats.txt|" -e '/^poll_ms:/d' -e '/^partners:/,$d' "$dir/clearingd.conf"
printf 'kerb_ask_ms: 1500\npoll_ms: 200\npartners:\n  - {name: identity, url: "https://127.0.0.1:%s", ca: ca.crt}\n' "$i" >>"$dir/clearingd.conf"
clearing() { "$B/clearingd" -c "$dir/clearingd.conf" 2>>"$dir/log" & daemon=$!; pids+=($daemon); for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && return; sleep 0.05; done; }
gone() { kill -9 "$1" 2>/dev/null; wait "$1" 2>/dev/null; }
platform() { # options: it runs with these from now on
	[ $server -ne 0 ] && gone $server
	"$B/qingfen" sim identity --city "$dir" --listen "127.0.0.1:$i" "$@" 2>>"$dir/sim.log" & server=$!; pids+=($server)
	for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$i") 2>/dev/null && return; sleep 0.05; done
}
clearing
"$B/qingfen" load tariff tariffs/packs/ganzhou >/dev/null && "$B/qingfen" load terminals "$dir/terminals.csv" >/dev/null && "$B/qingfen" load issuers "$dir/issuers.csv" >/dev/null
say "the house is set up" $? "$(cat "$dir/log")"
bus() { # n: the nth device begins
	bus_conf "$1" "$p" <<Y
line: "18"
vehicle: 赣B1000$1
code_formats: formats.txt
code_ask_ms: 4000
Y
	timeout 60 "$B/validatord" -c "$dir/bus$1.conf" --once 2>>"$dir/bus.log"
}
bus 1; bus 2
sed 's/^code_ask_ms:.*/code_ask_ms: 4000\ncode_unasked: 0/' "$dir/bus1.conf" >"$dir/bus3.conf"
issue() { "$B/qingfen" sim identity --dir "$dir/identity" --issue "428019000000000$1" >"$dir/$1.hex"; }
for n in 1001 1002 1003 1004 1005 1006 1007; do issue $n; done
show() { timeout 60 "$B/validatord" -c "$dir/bus$1.conf" --once --wait "${3:-30}" --codes "$dir/$2.hex" 2>"$dir/out"; cat "$dir/out" >>"$dir/bus.log"; }
seen() { echo "$(sed -n 's/.*event=code answer=\([a-z-]*\).*/\1/p' "$dir/out") $(sed -n 's/.*event=code-asked said=\([a-z-]*\).*/\1/p' "$dir/out")"; }
logged() { for _ in $(seq 100); do grep -q "$1" "$dir/log" && return 0; sleep 0.1; done; return 1; }
platform
show 1 1001; is "its platform says good, and the rider goes" "go good" "$(seen)"
logged 'event=codes-bound .*answers=1'; say "the answer is bound to the record when it comes" $? "$(grep code "$dir/log")"
is "and the platform is not asked again" "1 0" "$(ls "$dir/identity/debit" | wc -l) $(grep -c 'event=codes-asked' "$dir/log")"
show 2 1001; is "the same code at another gate is refused there and then" "code-used repeated" "$(seen)"
logged 'event=code-repeated-at-gate alarm=1'; say "with an alarm" $? "$(grep code "$dir/log")"
is "without a question to the platform" 1 "$(ls "$dir/identity/debit" | wc -l)"
platform --refuse-percent 100
show 1 1002; is "its platform says no, and the gate stays red" "platform-refused refused" "$(seen)"
grep -q 'event=code-asked .*text="平台核验未通过, 请用其他方式乘车" reason="FUNDS"' "$dir/out"; say "with the platform's reason" $? "$(cat "$dir/out")"
platform --fault slow
show 1 1003; is "a platform that is too slow does not hold the bus up: the rider goes, within the limits" "go not-reached" "$(seen)"
[ "$(sed -n 's/.*event=code-asked .* ms=\([0-9]*\) .*/\1/p' "$dir/out")" -lt 3500 ]; say "the daemon answers at its own deadline, not at the platform's leisure" $? "$(grep code-asked "$dir/out")"
show 3 1004; is "or does not, where that is the setting" "not-reached not-reached" "$(seen)"
gone $server; server=0
show 1 1005; is "a platform that is gone is not waited for" "go not-reached" "$(seen)"
platform
logged 'event=codes-asked .*answers=[1-9]'; say "what rode unasked is asked about when the platform is there again" $? "$(grep code "$dir/log")"
show 2 1005; is "and known as ridden at every other gate" "code-used repeated" "$(seen)"
gone $daemon
show 1 1006 3; is "without the daemon the rider goes, within the limits" "go not-reached" "$(seen)"
show 3 1007 3; is "or does not" "not-reached not-reached" "$(seen)"
clearing
timeout 60 "$B/validatord" -c "$dir/bus1.conf" --once 2>>"$dir/bus.log"
for _ in $(seq 100); do [ "$(ls "$dir/identity/debit" | wc -l)" -ge 5 ] && break; sleep 0.1; done
sleep 0.5
show 2 1006; is "its code is known at every gate once its record has come" "code-used repeated" "$(seen)"
"$B/qingfen" status --json >"$dir/status"; grep -q '"gate_asks_repeated":[1-9]' "$dir/status"; say "the daemon's figures tell of the questions" $? "$(cat "$dir/status")"
"$B/qingfen" day close "$day" >/dev/null
is "every ride is accepted, none twice" "accepted 4" "$("$B/qingfen" dump --canonical --date "$day" | python3 -c 'import json, sys, collections
n = collections.Counter(r["verdict"] for r in map(json.loads, sys.stdin) if r.get("scheme") == 6 and "verdict" in r)
print(", ".join(f"{k} {n[k]}" for k in sorted(n)))')"
"$B/qingfen" check >"$dir/out" 2>&1 && [ ! -s "$dir/out" ] && "$B/qingfen" recompute "$day" >>"$dir/out" 2>&1; say "the invariants hold, and the day recomputes" $? "$(cat "$dir/out")"
exit $status
