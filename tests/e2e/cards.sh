#!/usr/bin/env bash
# Lives of cards end to end: lost, replaced keeping the number, refunded, expired; each tap judged as of its time, told by
# explain and card show, and the day recomputes although more is learned later.
. "$(dirname "$0")/lib.sh"
pid=0
trap '[ $pid -ne 0 ] && kill -9 $pid 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
day=2025-11-03 n=0
q() { "$B/qingfen" "$@"; }
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
q sim city --out "$dir" --seed 12 --lines 2 --devices 2 --taps 100 --day $day >/dev/null 2>&1 || exit 1
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" -e '/^partners:/,$d' "$dir/clearingd.conf"
"$B/clearingd" -c "$dir/clearingd.conf" 2>>"$dir/log" & pid=$!
for _ in $(seq 200); do q status >/dev/null 2>&1 && break; sleep 0.05; done
q load tariff tariffs/packs/ganzhou >/dev/null
for f in terminals issuers; do q load $f "$dir/$f.csv" >/dev/null; done
pan() { echo "031047301500000000$1"; }
printf 'pan,person,birth,issued,home,group,grade,from,to,verified_to\n%s,9001,2012-01-01,,,pupil,,2025-01-01,,\n' "$(pan 23)" >"$dir/riders.csv"
q load riders "$dir/riders.csv" >/dev/null || exit 1
device=$(sed -n 2p "$dir/terminals.csv" | cut -d, -f3) terminal=$(sed -n 2p "$dir/terminals.csv" | cut -d, -f1)
file() { ls "$dir/devices/$device.$1" "$dir/devices/$device.pem" 2>/dev/null | head -1; }
taps() { # sentence, verdicts expected, then "card minutes-after-nine counter" each
	local sentence=$1 expected=$2 seen="" t
	shift 2
	for t in "$@"; do
		read -r card minutes counter <<<"$t"
		n=$((n + 1))
		seen+=" $(timeout 20 "$B/qingfen" sim probe --connect "127.0.0.1:$port" --ca "$(ls "$dir"/ca.crt "$dir"/ca.pem 2>/dev/null | head -1)" --cert "$(file crt)" \
			--key "$(file key)" --device "$device" --terminal "$terminal" --pan "$(pan "$card")" --serial $n --later "$minutes" --ring "$dir/keyring.qfk" \
			--passphrase-file "$dir/keyring.pass" --key-version 1 --counter "$counter" good | sed 's/.*"verdicts":\["\([a-z-]*\)"\].*/\1/')"
	done
	is "$sentence" "$expected" "${seen# }"
}

printf 'pan,state,at,valid_to,counter\n%s,issued,2025-01-01,,\n%s,stolen,2025-01-01,,\n' "$(pan 21)" "$(pan 22)" >"$dir/bad.csv"
answer=$(q load cards "$dir/bad.csv" 2>&1); [ $? -eq 9 ] && grep -q 'cards.csv:3:.*issued, lost, found' <<<"$answer" && ! grep -q "$(pan 22)" <<<"$answer"
say "a file with an unknown state is refused whole, with its place and no card number" $? "$answer"
{
	echo pan,state,at,valid_to,counter
	for c in 21 22 23 24; do echo "$(pan $c),issued,2024-01-01,2030-12-31,"; done
	echo "$(pan 22),lost,${day}T09:30:00,,"
	echo "$(pan 23),lost,${day}T09:30:00,,"
	echo "$(pan 23),replaced,${day}T10:00:00,,1"
	echo "$(pan 24),refunded,${day}T09:30:00,,"
	echo "$(pan 25),issued,2020-01-01,2025-11-02,"
} >"$dir/cards.csv"
q load cards "$dir/cards.csv" >/dev/null; is "lives of cards are loaded" 0 $?
taps "an issued card rides; a lost one until its loss; a refunded one until then; an expired one never" "accepted accepted blacklisted accepted blacklisted card-expired" \
	"21 0 7" "22 29 7" "22 30 8" "24 29 7" "24 31 8" "25 0 7"
taps "a replaced card rides again with its own counter, the old piece does not" "accepted blacklisted accepted blacklisted" "23 1 300" "23 40 301" "23 65 1" "23 66 302"
answer=$(q day close $day --json); grep -q '"verdicts":{"accepted":5,"card-expired":1,"blacklisted":4}' <<<"$answer"; say "the clear says the same" $? "$answer"
digest=$(q dump --canonical --date $day | sha256sum)
rated() { q dump --canonical --date $day | python3 -c 'import json, sys
print(*[r["rated_fen"] for r in map(json.loads, sys.stdin) if r.get("verdict") == "accepted" and r.get("tap", "").endswith(tuple(sys.argv[1:]))])' "$@"; }
[ "$(rated 090100)" -lt "$(rated 090000 | cut -d" " -f1)" ] && [ "$(rated 100500)" = "$(rated 090100)" ]; say "the new card has its person's price, as the old one had" $? "$(rated 090000) $(rated 090100) $(rated 100500)"
ids() { q dump --canonical --date $day | grep -o "\"tap\":\"[^\"]*$1\"" | head -1 | cut -d'"' -f4; }
answer=$(q explain tap "$(ids 093000)"; q explain tap "$(ids 100600)"; q explain tap "$(ids 093100)")
grep -q '卡状态 挂失中, 自 2025-11-03T09:30' <<<"$answer" && grep -q '卡状态 已被补卡取代的旧卡, 自 2025-11-03T10:00' <<<"$answer" && grep -q '卡状态 已退卡' <<<"$answer"
say "explain says what the card stood at" $? "$answer"
answer=$(q card show "$(pan 23)" --at ${day}T09:45:00); grep -q '^卡 310473\**0023  挂失中 (lost)' <<<"$answer" && grep -q '补卡(保号) (replaced)  新卡序号自 1' <<<"$answer" && ! grep -q "$(pan 23)" <<<"$answer"
say "card show prints a life with the number masked, as of a time" $? "$answer"
answer=$(q card show "$(pan 23)" --json); grep -q '"standing":"good","generation":2,.*"counter_seen":302,' <<<"$answer"; say "and as JSON, with the highest counter seen" $? "$answer"
q card stopped --at ${day}T09:45:00 --out "$dir/stopped.csv"; is "lost and refunded cards come out as rows of the black list" "pan,from,to,action $(pan 22) $(pan 23) $(pan 24)" \
	"$(head -1 "$dir/stopped.csv") $(sed 1d "$dir/stopped.csv" | cut -d, -f1 | tr '\n' ' ' | sed 's/ $//')"
is "a replaced number is not on it, and the list loads" "2 0" "$(q card stopped | sed 1d | wc -l) $(q load blacklist <(q card stopped) --version 1 >/dev/null; echo $?)"
q card show "$(pan 99)" >/dev/null 2>&1; is "a card nobody told of is no such object" 5 $?
printf 'pan,state,at,valid_to,counter\n%s,lost,%sT08:00:00,,\n' "$(pan 21)" $day >"$dir/later.csv"
q load cards "$dir/later.csv" >/dev/null
is "a loss told after the cut leaves the cleared day, which recomputes to its bytes" "$digest 0" "$(q dump --canonical --date $day | sha256sum) $(q recompute $day >/dev/null; echo $?)"
taps "and a tap of before the loss that comes late is judged by it" "blacklisted" "21 2 9"
q check >"$dir/check" && [ ! -s "$dir/check" ]; say "the money invariants hold" $? "$(cat "$dir/check")"
exit $status
