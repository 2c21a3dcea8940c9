#!/usr/bin/env bash
# Rules changed back in time: a dry run, two signatures, adjustments of the open day; the settled day keeps its bytes.
. "$(dirname "$0")/lib.sh"
pid=0
trap '[ $pid = 0 ] || { kill $pid; wait $pid; } 2>/dev/null; rm -rf "$dir"' EXIT
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
day=2025-11-03 next=2025-11-04
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
q() { "$B/qingfen" "$@"; }
q sim city --out "$dir" --seed 5 --lines 4 --devices 4 --taps 400 --day $day >/dev/null 2>&1 || exit 1
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" \
	-e '/^partners:/,$d' "$dir/clearingd.conf"
"$B/clearingd" -c "$dir/clearingd.conf" 2>"$dir/log" & pid=$!
for _ in $(seq 200); do q status >/dev/null 2>&1 && break; sleep 0.05; done
q load tariff tariffs/packs/ganzhou >/dev/null
for f in terminals issuers riders; do q load $f "$dir/$f.csv" >/dev/null; done
q load blacklist "$dir/blacklist.csv" --version 1 >/dev/null
timeout 60 "$B/qingfen" sim validators --city "$dir" --connect "127.0.0.1:$port" --json >/dev/null 2>&1
q day close $day >/dev/null || exit 1
settled=$(q dump --canonical --date $day | sha256sum)

# the ordinary card pays 80 % from the day on that is settled already
cp -r tariffs/packs/ganzhou "$dir/pack"
sed -i -e 's/^version: .*/version: 202511/' -e "s/^valid_from: .*/valid_from: $day/" "$dir/pack/pack.yaml"
sed -i '0,/price: 90%/s//price: 80%/' "$dir/pack/rules.yaml"
q load tariff "$dir/pack" >/dev/null; say "a tariff from a settled day on can be loaded" $?
echo name,title,key >"$dir/persons.csv"
for n in zhang li; do q tariff person $n --to "$dir/$n.key" | tail -1 >>"$dir/persons.csv"; done
q load persons "$dir/persons.csv" >/dev/null
ask() { q rerate --from $day --to $day --by "$1" --key "$dir/$1.key" --json 2>&1; }
dry=$(q rerate --from $day --to $day --dry-run --json)
field() { python3 -c 'import json,sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$dry" "$1"; }
[ "$(field rides)" -gt 100 ] && [ "$(field rider_fen)" -gt 0 ]; say "the dry run shows rides and fen" $? "$dry"
is "a dry run books nothing" "$settled" "$(q dump --canonical --date $day | sha256sum)"
q rerate --from $day --to $next --dry-run >/dev/null 2>&1; is "the open day cannot be rated again" 9 $?
ask zhang | grep -q '"state":"proposed"'; say "one person proposes" $?
ask zhang >/dev/null; is "the same person is not the second" 9 $?
ask li | grep -q '"state":"agreed"'; say "the second person agrees" $?
closed=$(q day close $next --json)
is "the close tells how many rides were adjusted" "$(field rides)" "$(python3 -c 'import json,sys; print(json.loads(sys.argv[1])["adjustments"])' "$closed")"
report=$(q report $next --form D-06)
is "what is booked is what the dry run showed" "$(field rides) $(field rider_fen) $(field operator_fen)" "$(python3 -c 'import json,sys
t = json.loads(sys.argv[1])["total"]; print(t["rides"], t["rider_fen"], t["operator_fen"])' "$report")"
for d in $day $next ${day%-*}; do q report $d --form S-01 >"$dir/s.$d"; done
is "the statement of a month is the sum of its days, treasury by treasury, and its relations hold" yes "$(python3 -c 'import json,sys
a, b, m = (json.load(open(f)) for f in sys.argv[1:])
def by(t): return {tuple(v for v in r.values() if isinstance(v, str)): r["claim_fen"] for r in t["rows"]}
x, y, z = by(a), by(b), by(m)
print("yes" if z == {k: x.get(k, 0) + y.get(k, 0) for k in {**x, **y}} and m["days"] == 2 and all(r["holds"] for r in m["relations"]) and z else (x, y, z, m["days"]))' "$dir/s.$day" "$dir/s.$next" "$dir/s.${day%-*}")"
is "the settled day keeps its bytes" "$settled" "$(q dump --canonical --date $day | sha256sum)"
for d in $day $next; do q recompute $d >"$dir/out" 2>&1; say "$d recomputes to the same bytes" $? "$(cat "$dir/out")"; done
q check >"$dir/out" 2>&1; say "the invariants hold" $? "$(cat "$dir/out")"
tap=$(q dump --canonical --date $next | grep -m1 -o '"adjusts":"[^"]*"' | cut -d'"' -f4)
q explain tap "$tap" >"$dir/out"; grep -q "调整 $next  原因 追溯调价" "$dir/out"; say "the explanation of a ride tells its adjustment" $? "$(cat "$dir/out")"
q evidence $next --to "$dir/evidence.tar" >/dev/null && q verify "$dir/evidence.tar" >"$dir/out"; say "the evidence pack of the day proves itself" $? "$(cat "$dir/out")"
exit $status
