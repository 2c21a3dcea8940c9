#!/usr/bin/env bash
# A day with T-Union codes, ride codes and identity codes, from the gate to what the platforms paid: through answers that are
# lost, doubled, wrong, refused and late.
. "$(dirname "$0")/lib.sh"
pids=() daemon=0
trap 'for p in "${pids[@]}"; do kill -9 $p 2>/dev/null; done; wait 2>/dev/null; rm -rf "$dir"' EXIT
port() { python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
p=$(port) r=$(port) i=$(port) day=$(TZ=UTC-5 date +%F) next=$(TZ=UTC-5 date -d tomorrow +%F)
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
"$B/qingfen" sim city --out "$dir" --seed 11 --lines 4 --devices 4 --taps 100 --day "$day" >/dev/null 2>&1 || exit 1
"$B/qingfen" sim codes --dir "$dir/platform" --init
for k in ridecode identity; do "$B/qingfen" sim $k --dir "$dir/$k" --init; cat "$dir/$k/formats.txt" >>"$dir/formats.txt"; done
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$p|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" \
	-e "s|^qr_ca:.*|qr_ca: platform/ca.txt\ncode_formats: formats.txt|" -e '/^partners:/,$d' "$dir/clearingd.conf"
printf 'partners:\n  - {name: ridecode, url: "https://127.0.0.1:%s", ca: ca.crt}\n  - {name: identity, url: "https://127.0.0.1:%s", ca: ca.crt}\n' "$r" "$i" >>"$dir/clearingd.conf"
clearing() { "$B/clearingd" -c "$dir/clearingd.conf" 2>>"$dir/log" & daemon=$!; pids+=($daemon); for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && return; sleep 0.05; done; }
declare -A server
platform() { # name, options: it runs with these from now on
	local name=$1 at=$r; shift
	[ "$name" = identity ] && at=$i
	[ -n "${server[$name]:-}" ] && { kill -9 "${server[$name]}" 2>/dev/null; wait "${server[$name]}" 2>/dev/null; }
	"$B/qingfen" sim "$name" --city "$dir" --listen "127.0.0.1:$at" "$@" 2>>"$dir/sim.log" & server[$name]=$!; pids+=($!)
}
clearing
"$B/qingfen" load tariff tariffs/packs/ganzhou >/dev/null
"$B/qingfen" load terminals "$dir/terminals.csv" >/dev/null
"$B/qingfen" load issuers "$dir/issuers.csv" >/dev/null
elder=4280190000000000001
printf 'pan,person,birth,issued,home,group,grade,from,to,verified_to\n%s,9001,1950-01-01,,360702,elder65,,2025-01-01,,\n' $elder >"$dir/elder.csv"
"$B/qingfen" load riders "$dir/elder.csv" >/dev/null; say "an elderly person's identity number is registered" $?
bus() { # n: the nth device begins
	bus_conf "$1" "$p" <<Y
line: "18"
vehicle: 赣B1000$1
qr_ca: platform/ca.txt
code_list: platform/codes.txt
code_formats: formats.txt
code_ask_ms: 0
Y
	timeout 60 "$B/validatord" -c "$dir/bus$1.conf" --once 2>>"$dir/bus.log"
}
ride() { timeout 60 "$B/validatord" -c "$dir/bus$1.conf" --once --wait 30 --codes "$2" 2>"$dir/bus.out"; cat "$dir/bus.out" >>"$dir/bus.log"; }
answers() { grep -o 'event=code answer=[a-z-]*' "$dir/bus.out" | sed 's/.*=//' | sort | uniq -c | awk '{ printf "%s%s %s", (NR > 1 ? ", " : ""), $2, $1 }'; }
asked() { for _ in $(seq 100); do [ "$(grep -c "event=codes-asked partner=$1 .*answers=[1-9]" "$dir/log")" -ge "$2" ] && return 0; sleep 0.1; done; return 1; }
row() { # day, jq-less: verdicts of a scheme
	"$B/qingfen" dump --canonical --date "$1" | python3 -c 'import json, sys, collections
n = collections.Counter(r["verdict"] for r in map(json.loads, sys.stdin) if r.get("scheme") == int(sys.argv[1]) and "verdict" in r)
print(", ".join(f"{k} {n[k]}" for k in sorted(n)))' "$2"; }
moved() { # day, reason, account class of the debit, scheme: sum
	"$B/qingfen" dump --canonical --date "$1" | python3 -c 'import json, sys
print(sum(r["sum_fen"] for r in map(json.loads, sys.stdin) if "sum_fen" in r and r["reason"] == int(sys.argv[1]) and r["debit"] // 1000000 == int(sys.argv[2]) and r["scheme"] == int(sys.argv[3])))' "$2" "$3" "$4"; }
bus 1; bus 2
now=$(date +%s)
"$B/qingfen" sim codes --dir "$dir/platform" --pan 3104730100000000017 --count 2 --at "$now" >"$dir/tunion.hex"
"$B/qingfen" sim ridecode --dir "$dir/ridecode" --issue 6217990000000000123 --count 1 >"$dir/ride.hex"
"$B/qingfen" sim ridecode --dir "$dir/ridecode" --issue 6217990000000000456 --count 1 >>"$dir/ride.hex"
"$B/qingfen" sim identity --dir "$dir/identity" --issue $elder >"$dir/identity.hex"
"$B/qingfen" sim identity --dir "$dir/identity" --issue 4280190000000000999 >>"$dir/identity.hex"
"$B/qingfen" sim ridecode --dir "$dir/ridecode" --issue 6217990000000000123 --at $((now - 600)) >"$dir/old.hex"
sed '1!d; s/^\(.\{60\}\)./\19/; s/^\(.\{61\}\)./\1F/' "$dir/ride.hex" >"$dir/forged.hex"
platform ridecode --fault lost-answer
platform identity --fault duplicate
cat "$dir/tunion.hex" "$dir/ride.hex" "$dir/identity.hex" "$dir/ride.hex" "$dir/old.hex" "$dir/forged.hex" >"$dir/shown.hex"
ride 1 "$dir/shown.hex"
is "the gate takes each code once, and none that is old or forged" "code-expired 1, code-refused 1, code-used 2, go 6" "$(answers)"
asked ridecode 1 && asked identity 1; say "the platforms are asked, and answer" $? "$(grep code "$dir/log" | tail -5)"
grep -q 'event=codes-not-asked partner=ridecode' "$dir/log"; say "an answer was lost on the way" $?
is "a question asked again debits nothing again" "2" "$(ls "$dir/ridecode/debit" | wc -l)"
grep -q 'event=code-answer-refused partner=identity .*answered before' "$dir/log"; say "an answer given twice counts once" $? "$(grep code- "$dir/log" | tail -3)"
head -1 "$dir/ride.hex" >"$dir/again.hex"
ride 2 "$dir/again.hex"; is "another bus cannot know that a code was used" "go 1" "$(answers)"
grep -q 'event=receipt .*refused=1' "$dir/bus.out"; say "the receipt says that it was" $? "$(grep receipt "$dir/bus.out")"
platform ridecode --refuse-percent 100
"$B/qingfen" sim ridecode --dir "$dir/ridecode" --issue 6217990000000000789 >"$dir/poor.hex"
ride 2 "$dir/poor.hex"; asked ridecode 2; say "a platform refuses a debit" $? "$(grep code "$dir/log" | tail -3)"
platform ridecode --fault wrong-amount
"$B/qingfen" sim ridecode --dir "$dir/ridecode" --issue 6217990000000000321 >"$dir/wrong.hex"
ride 2 "$dir/wrong.hex"
for _ in $(seq 100); do grep -q 'event=code-answer-refused partner=ridecode .*amount is not what was asked' "$dir/log" && break; sleep 0.1; done
grep -q 'event=code-answer-refused partner=ridecode .*amount is not what was asked' "$dir/log"; say "an answer of another amount is not taken" $?
kill -9 $daemon "${server[ridecode]}"; wait $daemon "${server[ridecode]}" 2>/dev/null
clearing
"$B/qingfen" day close "$day" >/dev/null; is "the day closes with one record still waiting" 0 $?
is "ride codes: debited, refused, waiting, and one shown twice" "accepted 2, code-repeated 1, pending 1, platform-refused 1" "$(row "$day" 5)"
is "identity codes: both accepted" "accepted 2" "$(row "$day" 6)"
is "T-Union codes: both accepted" "accepted 2" "$(row "$day" 1)"
free=$("$B/qingfen" dump --canonical --date "$day" | python3 -c 'import json, sys
print(sorted((r["charged_fen"], sum(f[1] for f in r["funders"])) for r in map(json.loads, sys.stdin) if r.get("scheme") == 6 and "verdict" in r))')
is "the elderly person rides free on the treasury, the other pays" "$(python3 -c "print(sorted([(0, $("$B/qingfen" dump --canonical --date "$day" | python3 -c 'import json, sys
print(max(r["published_fen"] for r in map(json.loads, sys.stdin) if r.get("scheme") == 6 and "verdict" in r))')), (max(x[0] for x in $free), 0)]))")" "$free"
"$B/qingfen" check >"$dir/out" 2>&1 && [ ! -s "$dir/out" ]; say "the invariants hold" $? "$(cat "$dir/out")"
"$B/qingfen" recompute "$day" >"$dir/out" 2>&1; say "the day recomputes to the same bytes" $? "$(cat "$dir/out")"
"$B/qingfen" report "$day" --form D-01 | grep -q 银联乘车码 && "$B/qingfen" report "$day" --form D-01 | grep -q 电子社保卡身份码; say "the report tells each by its name" $?
tap=$("$B/qingfen" dump --canonical --date "$day" | python3 -c 'import json, sys
print(next(r["tap"] for r in map(json.loads, sys.stdin) if r.get("scheme") == 6 and r.get("charged_fen") == 0))')
"$B/qingfen" explain tap "$tap" >"$dir/out"; grep -q 'SS0' "$dir/out"; say "a ride's explanation has its platform's reference" $? "$(cat "$dir/out")"
platform ridecode
platform identity --fault short
asked ridecode 3; say "what waited is asked about after the restart, and answered" $? "$(grep code "$dir/log" | tail -3)"
"$B/qingfen" day settle "$day" >"$dir/out" 2>&1
for _ in $(seq 50); do grep -q 'event=answer-refused partner=identity' "$dir/log" && grep -q 'event=answer-taken partner=ridecode' "$dir/log" && break; sleep 0.1; done
grep -q 'event=answer-refused partner=identity .*booked amount does not fit' "$dir/log"; say "a result that pays less than was claimed is refused whole" $? "$(grep answer "$dir/log")"
ls "$dir/ridecode/in"/RCCL* >/dev/null && ls "$dir/identity/in"/IDCL* >/dev/null; say "each platform got its own file of claims" $?
is "what is claimed is what was debited" "2" "$(grep -c '^D' "$dir/ridecode/in/RCCL${day//-/}00000001")"
"$B/qingfen" day close "$next" >/dev/null; is "the next day closes" 0 $?
is "what was paid is booked at the bank" "$("$B/qingfen" dump --canonical --date "$day" | python3 -c 'import json, sys
print(sum(r["charged_fen"] for r in map(json.loads, sys.stdin) if r.get("scheme") == 5 and r.get("verdict") == "accepted"))')" "$(moved "$next" 8 10 5)"
is "what waited became firm" "$("$B/qingfen" dump --canonical --date "$day" | python3 -c 'import json, sys
print(sum(r["charged_fen"] for r in map(json.loads, sys.stdin) if r.get("scheme") == 5 and r.get("verdict") == "pending"))')" "$(moved "$next" 5 11 5)"
"$B/qingfen" day settle "$next" >"$dir/out" 2>&1
is "and is claimed with the day it became firm in" "1" "$(grep -c '^D' "$dir/ridecode/in/RCCL${next//-/}00000001" 2>/dev/null)"
"$B/qingfen" check >"$dir/out" 2>&1 && [ ! -s "$dir/out" ] && "$B/qingfen" recompute "$next" >>"$dir/out" 2>&1 && "$B/qingfen" recompute "$day" >>"$dir/out" 2>&1
say "both days hold and recompute" $? "$(cat "$dir/out")"
exit $status
