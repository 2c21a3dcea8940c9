#!/usr/bin/env bash
# A day through key devices: a SoftHSM2 token for 3DES, a stub cipher machine for SM4. Whatever the device does (away,
# slow, lying, away over a day cut), every tap is settled once and the books are those of the same day with software keys.
. "$(dirname "$0")/lib.sh"
O=$(cd "${O:-build/gcc}" && pwd) || exit 1
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock QINGFEN_SDF_MODE=$dir/mode
pid=0 day=2025-11-03 next=2025-11-04
finish() { [ $pid -ne 0 ] && kill -9 $pid 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"; }
trap finish EXIT
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
q() { "$B/qingfen" "$@"; }
q sim city --out "$dir" --seed 7 --lines 4 --devices 4 --taps 600 --day $day >/dev/null 2>&1 || exit 1
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" -e 's|127.0.0.1:750[12]|127.0.0.1:1|' "$dir/clearingd.conf"	# partners that are out
partners=$(sed -n '/^partners:/,$p' "$dir/clearingd.conf"); sed -i '/^partners:/,$d' "$dir/clearingd.conf"
tools/softhsm.sh "$dir/hsm" "fares of a city" >"$dir/token" || exit 1
export SOFTHSM2_CONF=$dir/hsm/softhsm2.conf
module=$(sed -n 's/^key_module: //p' "$dir/token")
"$O/tests/ring_split" pkcs11 "$module" "fares of a city" "$dir/hsm/pin" "$dir/keyring.qfk" "$dir/keyring.pass" "$dir/token.qfk" &&
	"$O/tests/ring_split" sdf "$dir/keyring.qfk" "$dir/keyring.pass" "$dir/machine.qfk" || exit 1
printf 'key_deadline_ms: 150\nkey_retry_ms: 50\n' >"$dir/pace"
cat "$dir/clearingd.conf" >"$dir/software.conf"
{ sed "s|^keyring:.*|keyring: token.qfk|" "$dir/clearingd.conf"; grep ^key_ "$dir/token" | sed "s|^key_module:.*|key_module: module.so|"; cat "$dir/pace"; echo "$partners"; } >"$dir/token.conf"
{ sed "s|^keyring:.*|keyring: machine.qfk|" "$dir/clearingd.conf"; printf 'key_backend: sdf\nkey_module: %s\nkey_kek: 1\n' "$O/tests/sdf_stub.so"; cat "$dir/pace"; } >"$dir/machine.conf"

# ---- a house: start NAME, take in, end a day, what came of it ------------------------------------------------
start() {
	"$B/clearingd" -c "$dir/$1.conf" 2>>"$dir/log" & pid=$!
	for _ in $(seq 200); do q status >/dev/null 2>&1 && return; sleep 0.05; done
	cat "$dir/log"; exit 1
}
stop() { kill "${1:--TERM}" $pid; wait $pid 2>/dev/null; code=$?; pid=0; return $code; }
house() { # configuration: a new store
	rm -rf "$dir/store"; : >"$dir/log"; start "$1"
	q load tariff tariffs/packs/ganzhou >/dev/null
	for f in terminals issuers riders; do q load $f "$dir/$f.csv" >/dev/null; done
	q load blacklist "$dir/blacklist.csv" --version 1 >/dev/null
}
upload() { timeout 60 "$B/qingfen" sim validators --city "$dir" --connect "127.0.0.1:$port" --json >"$dir/uploaded" 2>&1; }
state() { q status | sed -n "s/^$1://p"; }
count() { local n; n=$(q status | sed -n "s/^verdicts:.*[{,]$1:\([0-9]*\).*/\1/p"); echo "${n:-0}"; }
until_state() { for _ in $(seq 200); do [ "$(state "$1")" = "$2" ] && return; sleep 0.05; done; return 1; }
holds() { # sentence day...
	local what=$1 d; shift
	q check >"$dir/out" 2>&1 && [ ! -s "$dir/out" ] && for d in "$@"; do q recompute "$d" >>"$dir/out" 2>&1 || return; done
	say "$what" $? "$(tail -5 "$dir/out")"
}
books() { q dump --canonical --date $day | sha256sum; }
# Of all days: taps that are money, each once, and what every account has.
totals() {
	q dump --canonical | python3 -c 'import json, sys
taps, accounts = [], {}
for d in map(json.loads, sys.stdin):
    if "tap" in d and d["verdict"] in ("accepted", "pending"): taps.append(d["tap"])
    if "debit" in d:
        accounts[d["debit"]] = accounts.get(d["debit"], 0) + d["sum_fen"]
        accounts[d["credit"]] = accounts.get(d["credit"], 0) - d["sum_fen"]
print(len(taps), len(set(taps)) == len(taps), sorted(accounts.items()))'
}
seen() { [ "$1" = 0 ] || { q status; tail -3 "$dir/log"; }; }	# what the daemon says, when something is wrong
as_software() { q dump --canonical --date $day >"$dir/dump"; is "$1" "" "$(diff "$dir/dump" "$dir/software.dump" | head -4)"; }

house software; upload || cat "$dir/uploaded"
is "keys in the process are said loudly: at the start, in the state" "1 software SOFTWARE" "$(grep -c 'warning="SOFTWARE KEYRING' "$dir/log") $(state key_backend) $(state key_warning | cut -c1-8)"
q day close $day >/dev/null; q day close $next >/dev/null
sums=$(totals) bad=$(q dump --canonical --date $day | grep -c '"verdict":"bad-mac"')
q dump --canonical --date $day >"$dir/software.dump"; stop

# ---- a SoftHSM2 token ---------------------------------------------------------------------------------------------
ln -sf "$module" "$dir/module.so"
house token; until_state key_device up
is "a token that is there is up, with its keys" "1 of 1 keys" "$(state key_device_text | cut -d';' -f1)"
upload; asked=$(state key_device_asked)
[ "$asked" -gt 100 ] && [ "$(state taps_waiting)" = 0 ] && [ "$(count bad-mac)" = "$bad" ]; say "taps are good through the token and none waits" $? "$(seen $?)"
is "the ring is taken again and the token opened again beside itself" "in force 2 up 0" "$(q keys reload --json | sed 's/.*"state":"\([a-z ]*\)","keyring_generation":\([0-9]*\),.*/\1 \2/') $(state key_device) $(state keyrings_unwiped)"
upload; [ "$(state key_device_asked)" -gt 100 ] && [ "$(state taps_waiting)" = 0 ]; say "and it verifies on" $? "$(seen $?)"
q day close $day >/dev/null; as_software "and the day is that of software keys, byte for byte"; stop

rm "$dir/module.so"; house token; upload; code=$? waiting=$(state taps_waiting) pending=$(count pending-tac)
q keys reload 2>"$dir/err"; [ $? -ne 0 ] && grep -q 'pkcs11: the key device with this ring: cannot be opened.*stays in force' "$dir/err"; say "a token that is absent: the ring is not taken again" $? "$(cat "$dir/err")"
[ $code -eq 0 ] && [ "$pending" -gt 300 ] && [ "$waiting" -ge "$pending" ]; say "a token that is absent at the start: every tap is receipted and waits" $? "$(seen $?)"
grep -q 'event=key-device.*state=down' "$dir/log" && [ "$(state key_device)" = down ]; say "its state is said" $? "$(cat "$dir/log")"
metrics() { python3 -c 'import json, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b"{\"cmd\":\"metrics\"}\n"); print(json.loads(s.makefile().read())["text"])' "$QINGFEN_SOCKET"; }
metrics >"$dir/out"; grep -q "^qingfen_taps_waiting $waiting\$" "$dir/out" && grep -q '^qingfen_key_device_up{backend="pkcs11"} 0$' "$dir/out" && grep -q "^qingfen_key_device_unanswered_total [1-9]" "$dir/out"
say "and measured" $? "$(cat "$dir/out")"
stop -KILL; start token
is "after kill -9 the same taps wait" "$waiting $pending" "$(state taps_waiting) $(count pending-tac)"
ln -sf "$module" "$dir/module.so"; until_state taps_waiting 0; say "the token comes back and every tap is checked again" $? "$(seen $?)"
is "the counts of the open day follow" "0 $bad" "$(count pending-tac) $(count bad-mac)"
stop -KILL; start token; is "and are the same after kill -9" "0 $bad" "$(count pending-tac) $(count bad-mac)"
q day close $day >/dev/null; as_software "before the cut: the day is that of a token that was never away"
holds "the invariants hold and it recomputes" $day; stop

rm "$dir/module.so"; house token; upload; q day close $day >/dev/null
is "over a day cut: the taps that wait post nothing" "$pending 0" "$(q dump --canonical --date $day | python3 -c 'import json, sys
rows = [d for d in map(json.loads, sys.stdin) if d.get("verdict") == "pending-tac"]
print(len(rows), sum(len(r["postings"]) for r in rows))')"
holds "the invariants hold while they wait, and the day recomputes" $day; before=$(books)
id=$(q dump --canonical --date $day | python3 -c 'import json, sys
print(next(d["tap"] for d in map(json.loads, sys.stdin) if d.get("verdict") == "pending-tac"))')
q explain tap "$id" | grep -q 'pending-tac'; say "a tap that waits is explained" $? "$(q explain tap "$id")"
ln -sf "$module" "$dir/module.so"; until_state taps_waiting 0; q day close $next >/dev/null
is "after the cut: every tap is settled once, every account has what it had with software keys" "$sums" "$(totals)"
is "the day before stays as it was" "$before" "$(books)"
q explain tap "$id" >"$dir/explained"; grep -q '收到时 unavailable (收件箱 #[0-9]*), 补验 \(good\|bad\) (收件箱 #[0-9]*)' "$dir/explained"; say "its explanation shows both checks" $? "$(cat "$dir/explained")"
for d in $day $next; do q day settle $d >/dev/null 2>&1; q day show $d --json | grep -o '"state":"[A-Z]*"'; done >"$dir/out"
is "the files of both days are built" 2 "$(grep -c 'BUILT\|APPROVED\|RECONCILED' "$dir/out")"
holds "the invariants hold, reports included, and both days recompute" $day $next
openssl rand -hex 32 >"$dir/sm2"; q evidence $next --to "$dir/pack.qfe" --key "$dir/sm2" >/dev/null && q verify "$dir/pack.qfe" >"$dir/out" 2>&1; say "evidence of the day of the answers verifies" $? "$(tail -3 "$dir/out")"
stop; is "the daemon ends with 0" 0 $?

# ---- a cipher machine -------------------------------------------------------------------------------------------------
for mode in "slow 400" lying sly absent; do
	echo good >"$dir/mode"; house machine; until_state key_device up
	echo "$mode" >"$dir/mode"; from=$(date +%s%N); upload; code=$? ms=$((($(date +%s%N) - from) / 1000000))
	[ $code -eq 0 ] && [ "$(state taps_waiting)" -gt 0 ]; say "a machine that is $mode: all receipted, taps wait" $? "$(seen $?)"
	[ "$(count bad-mac)" -le "$bad" ]; say "a machine that is $mode: no good tap is refused by it" $? "$(seen $?)"
	case $mode in
	slow*) echo "# uploaded in $ms ms"; [ $ms -lt 6000 ]; say "nobody waits for it long" $? "$ms ms" ;;
	lying|sly) [ "$(state key_device_lies)" -gt 0 ]; say "a machine that is $mode: its lies are counted" $? "$(seen $?)" ;;
	esac
	echo good >"$dir/mode"; until_state taps_waiting 0; q day close $day >/dev/null
	as_software "a machine that was $mode: the day is that of software keys, byte for byte"
	holds "a machine that was $mode: the invariants hold and the day recomputes" $day
	stop
done

# ---- a machine that hangs, a device that is not configured, a configuration that asks for what is not there ------------
echo good >"$dir/mode"; house machine; until_state key_device up
q keys reload >/dev/null; is "a machine's ring is taken again too" "2 up 0" "$(state keyring_generation) $(state key_device) $(state keyrings_unwiped)"
echo lying >"$dir/mode"; q keys reload 2>"$dir/err"; [ $? -ne 0 ] && grep -q 'sdf: the key device with this ring: a known answer came back wrong' "$dir/err"; say "but not while it lies" $? "$(cat "$dir/err")"
echo good >"$dir/mode"; until_state key_device up; echo "slow 20000" >"$dir/mode"; sleep 0.2; from=$(date +%s)
stop; code=$?; [ $code -eq 0 ] && [ $(($(date +%s) - from)) -lt 15 ] && grep -q 'event=key-device state=hanging' "$dir/log"; say "a call that hangs in the device does not hold the daemon's end" $? "$code $(tail -3 "$dir/log")"
sed "s|^keyring:.*|keyring: machine.qfk|" "$dir/clearingd.conf" >"$dir/bare.conf"
house bare; upload; waiting=$(state taps_waiting); q day close $day >/dev/null
[ "$waiting" -gt 0 ] && grep -q 'no key device is configured' "$dir/log"; say "keys in a device and none configured: said, and the taps wait" $? "$(seen $?)"
stop; echo good >"$dir/mode"; start machine; until_state taps_waiting 0; q day close $next >/dev/null
is "configured, it settles them once, on the day of the answer" "$sums" "$(totals)"; stop
{ cat "$dir/clearingd.conf"; echo 'key_backend: hsm'; } >"$dir/bad.conf"; n=$(wc -l <"$dir/bad.conf")
"$B/clearingd" --check-config -c "$dir/bad.conf" 2>"$dir/err"; [ $? -eq 3 ] && grep -q "bad.conf:$n:14: key_backend: software, pkcs11 or sdf is needed: hsm" "$dir/err"; say "an unknown backend is refused with its place" $? "$(cat "$dir/err")"
sed -i 's/hsm$/pkcs11/' "$dir/bad.conf"; "$B/clearingd" --check-config -c "$dir/bad.conf" 2>"$dir/err"; [ $? -eq 3 ] && grep -q "bad.conf:$n:14: .*key_module" "$dir/err"; say "a device without its library is refused too" $? "$(cat "$dir/err")"
tools/softhsm.sh "$dir/hsm" again >/dev/null 2>&1; is "a token is made once" 9 $?
exit $status
