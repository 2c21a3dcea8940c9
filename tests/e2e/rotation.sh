#!/usr/bin/env bash
# A TAC key is rotated in mid-day, under load, in a house that runs on, without a refusal; retired by date; and compromised:
# first as a drill, then in earnest. Cleared days keep their bytes whatever becomes of the ring.
. "$(dirname "$0")/lib.sh"
pid=0
trap '[ $pid -ne 0 ] && kill -9 $pid 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
day=2025-11-03 next=2025-11-04 n=0
q() { "$B/qingfen" "$@"; }
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
q sim city --out "$dir" --seed 11 --lines 2 --devices 5 --taps 9000 --batch 16 --day $day >/dev/null 2>&1 || exit 1
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" -e '/^partners:/,$d' "$dir/clearingd.conf"
start() {
	"$B/clearingd" -c "$dir/clearingd.conf" 2>>"$dir/log" &
	pid=$!
	for _ in $(seq 200); do q status >/dev/null 2>&1 && return 0; sleep 0.05; done
	return 1
}
stop() { [ $pid -ne 0 ] && kill $pid && wait $pid 2>/dev/null; pid=0; }
start || { cat "$dir/log"; echo "not ok - the daemon starts"; exit 1; }
q load tariff tariffs/packs/ganzhou >/dev/null
for f in terminals issuers riders; do q load $f "$dir/$f.csv" >/dev/null; done
q load blacklist "$dir/blacklist.csv" --version 1 >/dev/null
echo name,title,key >"$dir/persons.csv"
for who in zhang li; do q tariff person $who --to "$dir/$who.key" | tail -1 >>"$dir/persons.csv"; done
q load persons "$dir/persons.csv" >/dev/null
device=$(sed -n 2p "$dir/terminals.csv" | cut -d, -f3) terminal=$(sed -n 2p "$dir/terminals.csv" | cut -d, -f1)
file() { ls "$dir/devices/$device.$1" "$dir/devices/$device.pem" 2>/dev/null | head -1; }
cp "$dir/keyring.qfk" "$dir/cards.qfk"	# the issuer's: cards are personalised from it
cards="--ring $dir/cards.qfk --passphrase-file $dir/keyring.pass" ring="--ring $dir/keyring.qfk --passphrase-file $dir/keyring.pass"
tap() { # card, key version, minutes after nine, day 0 or 1; the verdict is added to seen
	n=$((n + 1))
	seen+=" $(timeout 20 "$B/qingfen" sim probe --connect "127.0.0.1:$port" --ca "$(ls "$dir"/ca.crt "$dir"/ca.pem 2>/dev/null | head -1)" --cert "$(file crt)" --key "$(file key)" \
		--device "$device" --terminal "$terminal" --pan "031047301500000000$1" --serial $((500000 + n)) --later $(($3 + (${4:-0} * 1440))) $cards --key-version "$2" --counter $((100 + n)) good |
		sed 's/.*"verdicts":\["\([a-z-]*\)"\].*/\1/')"
}
taps() { # sentence, verdicts expected, then a tap each
	local sentence=$1 expected=$2 seen="" t
	shift 2
	for t in "$@"; do tap $t; done
	is "$sentence" "$expected" "${seen# }"
}

reload() { q keys reload --json 2>"$dir/err" | sed 's/.*"state":"\([a-z ]*\)","keyring_generation":\([0-9]*\),.*"keyrings_unwiped":\([0-9]*\).*/\1 \2 unwiped \3/'; }

# ---- rotation ---------------------------------------------------------------------------------------
taps "the old version is in use" "accepted accepted" "01 1 0" "02 1 5"
for i in 3 4; do q keys ceremony component --alg 3des --fd 9 9>"$dir/part$i"; done
root=$(python3 -c 'import sys; print("%032X" % (int(sys.argv[1], 16) ^ int(sys.argv[2], 16)))' "$(cut -d" " -f1 "$dir/part3")" "$(cut -d" " -f1 "$dir/part4")")
echo "$root" >"$dir/root"
name="--purpose tac --alg 3des --issuer 02184280 --version"
q keys ring add $cards $name 2 --root-file "$dir/root"
rest="--persons $dir/persons.csv --date $day --by zhang --key $dir/zhang.key --by li --key $dir/li.key"
dtk=$(q keys derive --alg 3des --root "$root" --factor 02184280FFFFFFFF --factor 4730150000000011)
kcv=$(python3 -c 'import subprocess, sys
print(subprocess.run(["openssl", "enc", "-des-ede", "-nopad", "-K", sys.argv[1]], input=bytes(8), stdout=-1).stdout.hex()[:6].upper())' "$dtk")
{ q sim validators --city "$dir" --connect "127.0.0.1:$port" --bench --pace 3000 --json >"$dir/uploaded" 2>&1; touch "$dir/done"; } &
load=$!
q keys ceremony load $ring $name 2 $rest --test --minutes "$dir/m1" --fd 3 --fd 4 3<"$dir/part3" 4<"$dir/part4" >/dev/null 2>&1
is "the ring is taken again while the house runs, and the one before is wiped" "in force 2 unwiped 0" "$(reload)"
taps "a version that is not active yet changes nothing for the old one" "accepted" "01 1 60"
q keys ceremony activate $ring $name 2 $rest --minutes "$dir/m2" --pan 03104730150000000011 --card-kcv "$kcv" >/dev/null 2>&1; is "the new version is activated in mid-day by its known answer" 0 $?
is "and is in force from the next batch on" "in force 3 unwiped 0" "$(reload)"
taps "cards of the old and of the new version ride side by side, and late uploads of before too" "accepted accepted accepted accepted accepted" "11 2 121" "01 1 122" "12 2 123" "02 1 59" "03 1 124"
taken=0 wrong=0
while [ ! -e "$dir/done" ] || [ $taken -lt 3 ]; do
	taken=$((taken + 1)); [ "$(reload)" = "in force $((3 + taken)) unwiped 0" ] || wrong=$((wrong + 1))
done
wait $load; echo "# the ring was taken $((taken + 2)) times under load"
is "taken again and again under load, each time at once" 0 $wrong
grep -q '"refused_batches":0,' "$dir/uploaded" && python3 -c 'import json, sys
seen = json.load(open(sys.argv[1])); sys.exit(seen["sent"] != seen["receipted"] or seen["sent"] < 9000)' "$dir/uploaded"; say "every tap of the load is receipted" $? "$(cat "$dir/uploaded")"
false_refusals() { # taps that ended worse than the city planned, in a status or an answer of day close
	python3 -c 'import json, sys
got, plan = json.loads(sys.argv[1])["verdicts"], json.load(open(sys.argv[2]))["verdicts"]
print(sum(max(0, n - plan[v]) for v, n in got.items() if v in sys.argv[3:]))' "$1" "$dir/plan.json" bad-mac pending pending-tac malformed issuer-unknown
}
is "and none is refused or kept waiting that should not be: false refusals" 0 "$(false_refusals "$(q status --json)")"

# ---- what may not take its place ------------------------------------------------------------------------
refused() { # sentence, what is said
	local said
	said=$(q keys reload 2>&1) && said="taken: $said"
	grep -q "$2.*the ring read before stays in force" <<<"$said"; say "$1" $? "$said"
}
generation=$(q status | sed -n 's/^keyring_generation://p'); cp "$dir/keyring.qfk" "$dir/keyring.good"
head -c 400 "$dir/keyring.good" >"$dir/keyring.qfk"; refused "a ring file that is torn is refused" "keyring.qfk: "
cp "$dir/keyring.good" "$dir/keyring.qfk"; cp "$dir/keyring.pass" "$dir/pass.good"; echo no >"$dir/keyring.pass"; refused "a wrong passphrase is refused" "keyring.qfk: wrong passphrase"
cp "$dir/pass.good" "$dir/keyring.pass"; rm "$dir/keyring.qfk"; q keys ring create $ring; q keys ring add $ring $name 2 --root-file "$dir/root"
refused "a ring that has lost a key in force is refused, and says which" "keyring.qfk: tac 3des scheme 0 02184280 version 1 index 0 is in force and not in the new ring"
taps "and every card rides on" "accepted accepted" "01 1 125" "11 2 119"
cp "$dir/keyring.good" "$dir/keyring.qfk"
is "refused rings are counted, and the generation has not moved" "$generation 3" "$(q status | sed -n 's/^keyring_\(generation\|refused\)://p' | paste -sd' ')"
grep -q 'event=keyring-refused alarm=1 .*version 1 index 0 is in force' "$dir/log"; say "and they are an alarm of the log" $? "$(tail -3 "$dir/log")"
python3 -c 'import json, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b"{\"cmd\":\"metrics\"}\n"); print(json.loads(s.makefile().read())["text"])' "$QINGFEN_SOCKET" >"$dir/metrics"
grep -q "^qingfen_keyring_generation $generation\$" "$dir/metrics" && grep -q '^qingfen_keyring_refused_total 3$' "$dir/metrics" && grep -q '^qingfen_keyrings_unwiped 0$' "$dir/metrics"; say "the metrics have the generation of the ring" $? "$(grep keyring "$dir/metrics")"

# ---- retirement ------------------------------------------------------------------------------------------
q keys ring retire $ring $name 1 --at ${day}T12:00:00
kill -HUP $pid; for _ in $(seq 100); do [ "$(q status | sed -n 's/^keyring_generation://p')" = $((generation + 1)) ] && break; sleep 0.05; done
taps "a retired version is good for taps before its date, pending from it on, and the new one goes on" "accepted pending accepted" "04 1 179" "05 1 180" "13 2 181"
answer=$(q day close $day --json); is "the day: no tap is refused falsely, one is pending, of the retired version" 1 "$(false_refusals "$answer")"
digest=$(q dump --canonical --date $day | sha256sum)

# ---- compromise -------------------------------------------------------------------------------------------
taps "taps of the next day before anybody knows" "accepted accepted" "11 2 0 1" "12 2 60 1"
key="--alg 3des --issuer 02184280 --version 2 --from ${day}T11:02:00"
q keys drill $key --json >"$dir/drill.json"; q keys drill $key $ring --taps >"$dir/drill.txt"
seen=$(python3 - "$dir/drill.json" <<'P'
import json, sys
d = json.load(open(sys.argv[1]))
print(d["days"], d["cards"], *(d[k]["taps"] for k in ("settled", "open", "waiting")), d["settled"]["charged_fen"], d["open"]["charged_fen"], d["told_by"] or "-",
      sum(g["taps"] for g in d["groups"]))
P
)
is "the drill: two days, three cards, two taps settled and two not yet, by day and operator" "2 3 2 2 0 400 400 - 4" "$seen"
grep -q '^2025-11-03 .*已结算 .* 2 .* 2 .* 400' "$dir/drill.txt" && grep -q '换卡 3 张' "$dir/drill.txt" && grep -q '由一名授权人签名登记' "$dir/drill.txt" &&
	grep -q '备用版本 SM4/1 已启用' "$dir/drill.txt" && [ "$(grep -c '310473.*0001[123].* 200 分' "$dir/drill.txt")" -eq 0 ] && [ "$(grep -c ' 200 分$' "$dir/drill.txt")" -eq 4 ]
say "printed, it says what to do, which version can take over, and lists the taps with masked cards" $? "$(cat "$dir/drill.txt")"
tell() { q keys compromise $key --by "$1" --key "$dir/$2.key" --json 2>&1; }
answer=$(tell li zhang); [ $? -eq 9 ] && grep -q "not this person's" <<<"$answer"; say "another's signature does not tell a compromise" $? "$answer"
answer=$(q keys compromise --alg 3des --issuer 02184280 --version 2 --from 2099-01-01 --by li --key "$dir/li.key" 2>&1); is "a compromise of tomorrow is refused" 9 $?
answer=$(tell li li); is "one person of the list tells it" 0 $?
answer=$(tell zhang zhang); [ $? -eq 9 ] && grep -q "already" <<<"$answer"; say "it is told once" $? "$answer"
taps "what it verifies from now on waits, other keys go on" "pending pending" "13 2 120 1" "05 1 121 1"
answer=$(q day close $next --json); grep -q '"verdicts":{"pending":4}' <<<"$answer"; say "what it had verified that day waits too, and settles nothing" $? "$answer"
q check >"$dir/check" && [ ! -s "$dir/check" ]; say "the money invariants hold" $? "$(cat "$dir/check")"
answer=$(q keys drill $key --json); grep -q '"told_by":"li".*"settled":{"taps":2,.*"waiting":{"taps":3,' <<<"$answer"; say "the same report then lists what was touched" $? "$answer"
# ---- two persons decide --------------------------------------------------------------------------------------
third=2025-11-05
mapfile -t waits < <(q keys waiting --json | sed -n 's/.*"tap":"\([^"]*\)".*/\1/p')
is "what waits for persons is listed" 3 ${#waits[@]}
answer=$(q keys confirm "${waits[0]}" "${waits[1]}" --by li --key "$dir/li.key" --json); is "one person signs for two taps, and nothing is decided" 2 "$(grep -c '"state":"proposed"' <<<"$answer")"
answer=$(q keys confirm "${waits[0]}" --by li --key "$dir/li.key" 2>&1); [ $? -eq 9 ] && grep -q "a second person is needed" <<<"$answer"; say "the same person is no second" $? "$answer"
answer=$(q keys refuse "${waits[0]}" --by zhang --key "$dir/zhang.key" 2>&1); is "nor is one who decides otherwise" 9 $?
stop; start	# one signature outlives a restart
answer=$(q keys confirm "${waits[0]}" --by zhang --key "$dir/zhang.key" --json); grep -q '"state":"decided","settles":"'$third'"' <<<"$answer"; say "another person's signature decides" $? "$answer"
for who in zhang li; do q keys refuse "${waits[2]}" --by $who --key "$dir/$who.key" >/dev/null || echo failed; done
q keys confirm "${waits[0]}" --by zhang --key "$dir/zhang.key" >/dev/null 2>&1; is "for good" 9 $?
is "the one that has one signature still waits" "1 li" "$(q keys waiting --json | grep -c .) $(q keys waiting --json | sed -n 's/.*"signed_by":"\([^"]*\)".*/\1/p')"
q day close $third >/dev/null; timeout 1 q day settle $third >/dev/null 2>&1
moved() { q dump --canonical --date $third | python3 -c 'import json, sys
print(sum(r["sum_fen"] for r in map(json.loads, sys.stdin) if "sum_fen" in r and r["reason"] == int(sys.argv[1]) and r["debit"] // 1000000 == int(sys.argv[2])))' $1 $2; }
is "the open day books the one firm and the other back" "200 90 90" "$(moved 5 1) $(moved 5 7) $(moved 6 7)"
q explain tap "${waits[0]}" | grep -q '由 li、zhang 两人签名确认入账, 记入 '$third; say "it is explained with both names" $? "$(q explain tap "${waits[0]}")"
q report $third --form D-05 | grep -q '"confirmed"'; say "and stands in the day's report" $? "$(q report $third --form D-05)"
q check >"$dir/check" && [ ! -s "$dir/check" ] && q recompute $third >/dev/null; say "the invariants hold, and the day recomputes" $? "$(cat "$dir/check")"
stop; rm "$dir/keyring.qfk"; q keys ring create $ring	# no key is left
is "the cleared days keep their bytes though the ring is another, and recompute to them" "$digest 0 0" \
	"$(q dump --canonical --date $day | sha256sum) $(q recompute $day >/dev/null; echo $?) $(q recompute $next >/dev/null; echo $?)"
exit $status
