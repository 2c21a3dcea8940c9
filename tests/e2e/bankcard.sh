#!/usr/bin/env bash
# Bank cards from the kerb to the settled debit: cards of every method at three validators, a copy, first rides, one debit
# a card and day, a bank that refuses, a card that is denied until its debt is paid.
. "$(dirname "$0")/lib.sh"
pids=()
trap 'for p in "${pids[@]}"; do kill -9 $p 2>/dev/null; done; wait 2>/dev/null; rm -rf "$dir"' EXIT
port() { python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
p=$(port) b=$(port)
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
today=$(TZ=UTC-8 date +%F) tomorrow=$(TZ=UTC-8 date -d '+1 day' +%F) third=$(TZ=UTC-8 date -d '+2 day' +%F)
"$B/qingfen" sim city --out "$dir" --seed 5 --lines 4 --devices 4 --taps 100 >/dev/null 2>&1 || exit 1
"$B/qingfen" sim bankcards --out "$dir/cards" --cards 8 >/dev/null; say "a scheme, its bank and eight cards are made" $?
mkdir "$dir/pack"
cat >"$dir/pack/pack.yaml" <<'Y'
name: bankcards
title: 银行卡
version: 1
valid_from: 2025-01-01
published_on: 2025-01-01
basis: 例
home_issuer: "02184280"
order: [concession, transfer]
rounding: {mode: half-up, unit_fen: 1}
stacking: unique
classes:
  - {name: flat, title: 一票制}
funding:
  - {id: discount, title: 企业让利, basis: 例, gap: none}
transfers:
  - {id: city, title: 换乘, basis: 例, class: [flat], minutes: 90, included: yes, same_line: no, uses: 2, guest: [local, other], minus_fen: 100, fund: discount}
Y
printf 'line,class,fare\nA,flat,flat:200\nB,flat,flat:300\nC,flat,flat:200\n' >"$dir/pack/lines.csv"
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$p|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" \
	-e "s|^open_day:.*|open_day: $today|" -e '/^partners:/,$d' "$dir/clearingd.conf"
cat >>"$dir/clearingd.conf" <<Y
bank_scheme_keys: cards/keys.txt
bank_token_key: cards/token.key
bank_list_key: cards/list.key
partners:
  - {name: bank, url: "https://127.0.0.1:$b", ca: ca.crt}
Y
"$B/clearingd" -c "$dir/clearingd.conf" 2>"$dir/log" & pids+=($!)
for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && break; sleep 0.05; done
"$B/qingfen" load tariff "$dir/pack" >/dev/null && "$B/qingfen" load terminals "$dir/terminals.csv" >/dev/null && "$B/qingfen" load issuers "$dir/issuers.csv" >/dev/null
say "the house is set up" $? "$(cat "$dir/log")"
bus() { # number, line: a validator of that line
	bus_conf "$1" "$p" <<Y
line: "$2"
vehicle: V$1
tariff: tariff$1.blob
blacklist: blacklist$1.txt
denylist: denylist$1.txt
bank_scheme_keys: cards/keys.txt
bank_token_key: cards/token.key
bank_list_point: cards/list.point
bank_sda: 1
bank_first_fen: 500
bank_card_fen: 2000
Y
}
run() { local n=$1; shift; timeout 60 "$B/validatord" -c "$dir/bus$n.conf" --once "$@" 2>"$dir/out$n"; }
show() { run "$1" --bank-cards "$dir/cards" --present "$2"; }	# bus, cards
answers() { sed -n 's/.*event=bank-tap .*answer=\([a-z-]*\).*/\1/p' "$dir/out$1" | paste -sd' '; }
bus 1 A; bus 2 B; bus 3 C
for n in 1 2 3; do run $n; done
show 1 0@-90,1@-89,2@-88,3@-87; is "cards of SDA, DDA, fast DDA and CDA ride" "go go go go" "$(answers 1)"
show 1 1x,2x,3x; is "copies without the private key are refused" "forged forged forged" "$(answers 1)"
grep -q 'text="卡片认证未通过".*found=dynamic-signature' "$dir/out1"; say "the rider is told, the log says what was found" $? "$(cat "$dir/out1")"
sed 's/^bank_sda: 1/bank_sda: 0/' "$dir/bus1.conf" >"$dir/bus4.conf"
show 4 0; is "static authentication alone rides only where it is allowed" forged "$(answers 4)"
show 2 3@-60; show 3 3@-40; is "transfers are shown at full price at the kerb" "go 200" "$(answers 3) $(sed -n 's/.*event=bank-tap .*fen=\([0-9]*\).*/\1/p' "$dir/out3")"
show 1 4@-80,4@-79,4@-78; is "a new card rides up to its limit before the centre has answered" "go go first-rides" "$(answers 1)"
show 1 4@-20; is "and on when it has" go "$(answers 1)"
grep -rqE '6217999900[0-9]{6}' "$dir"/out* "$dir/log"; [ $? -ne 0 ]; say "no log names a card" $?
is "every ride arrived with its proof" 9 "$("$B/qingfen" status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["verdicts"]["accepted"])')"
bank() { [ ${bankpid:-0} -eq 0 ] || { kill -9 $bankpid; wait $bankpid 2>/dev/null; }
	"$B/qingfen" sim bank --city "$dir" --listen "127.0.0.1:$b" --refuse-percent "$1" 2>/dev/null & bankpid=$!; pids+=($bankpid); sleep 0.4; }
bank 0
"$B/qingfen" day close "$today" >/dev/null && "$B/qingfen" day settle "$today" >"$dir/settled" 2>&1; grep -q RECONCILED "$dir/settled"; say "the day settles with the bank" $? "$(cat "$dir/settled")"
file=$(ls "$dir"/bank/in/DSCL* | head -1)
is "each card has one debit" 5 "$(grep -c '^D' "$file")"
items() { grep '^D' "$1" | cut -c10-41 | tr -d ' '; }
for i in $(items "$file"); do "$B/qingfen" explain debit "$i" --json; done >"$dir/debits"
is "three rides with two transfers are one debit: 2 + 2 + 1 yuan" "3 500" "$(python3 -c 'import json, sys
d = [json.loads(l) for l in open(sys.argv[1])]
d = [x for x in d if len({r["line"] for r in x["rides"]}) == 3]
print(len(d[0]["rides"]), d[0]["amount_fen"])' "$dir/debits")"
item=$(python3 -c 'import json, sys
print([x["debit"] for x in map(json.loads, open(sys.argv[1])) if len(x["rides"]) == 3 and len({r["line"] for r in x["rides"]}) == 3][0])' "$dir/debits")
tap=$("$B/qingfen" explain debit "$item" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["rides"][2]["tap"])')
"$B/qingfen" explain tap "$tap" | grep -q "银行扣款 $item"; say "a ride leads to its debit" $?
grep -qE '6217999900[0-9]{6}' "$dir/debits"; [ $? -ne 0 ]; say "explanations mask the card" $?
before=$(sha256sum <"$file")
show 1 3@-10; is "a ride after the debit was sent is taken" go "$(answers 1)"
"$B/qingfen" recompute "$today" >"$dir/out" 2>&1; say "the settled day recomputes to the same bytes" $? "$(cat "$dir/out")"
bank 100
"$B/qingfen" day close "$tomorrow" >/dev/null && "$B/qingfen" day settle "$tomorrow" >/dev/null 2>&1
next=$(ls "$dir"/bank/in/DSCL* | tail -1)
[ "$next" != "$file" ] && [ "$(items "$next")" != "$item" ] && [ "$(grep -c '^D' "$next")" = 1 ]; say "and makes a debit of its own" $? "$(cat "$next")"
is "the debit that was sent is as it was" "$before" "$(sha256sum <"$file")"
"$B/qingfen" bank list >"$dir/out"; grep -q "^621799\*\*\*\*\*\*0003  欠费  $(items "$next")" "$dir/out"; say "a debit the bank refuses is arrears and denies its card" $? "$(cat "$dir/out" "$dir/log")"
run 1; run 2
show 1 3; is "the card is denied" denied "$(answers 1)"
grep -q 'text="此卡有欠费或已停用"' "$dir/out1"; say "and the rider is told" $? "$(cat "$dir/out1")"
show 2 3,2; is "on every vehicle, and no other card is" "denied go" "$(answers 2)"
sed 's/arrears/bank/' "$dir/denylist1.txt" >"$dir/x" && cp "$dir/x" "$dir/denylist1.txt"
run 1; grep -q 'denylist-refused.*signature' "$dir/out1" && grep -q arrears "$dir/denylist1.txt"; say "a deny list changed on the vehicle is refused and fetched again" $? "$(cat "$dir/out1")"
fen=$("$B/qingfen" explain debit "$(items "$next")" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["amount_fen"])')
printf 'action,pan,item,fen\npaid,,%s,%s\n' "$(items "$next")" "$((fen + 1))" >"$dir/paid.csv"
"$B/qingfen" bank load "$dir/paid.csv" >/dev/null 2>"$dir/err"; code=$?
[ $code -ne 0 ] && grep -q 'bank.csv:2:' "$dir/err"; say "a wrong amount pays nothing, and is told with its place" $? "$code $(cat "$dir/err")"
printf 'action,pan,item,fen\npaid,,%s,%s\n' "$(items "$next")" "$fen" >"$dir/paid.csv"
"$B/qingfen" bank load "$dir/paid.csv" >/dev/null; is "the debt is paid" "0 " "$? $("$B/qingfen" bank list)"
run 1; show 1 3; is "and the card rides again" go "$(answers 1)"
"$B/qingfen" day close "$third" >/dev/null; say "the day that learned of it closes" $?
is "arrears are paid to the fen" 0 "$("$B/qingfen" dump --canonical | python3 -c 'import json, sys
n = 0
for l in sys.stdin:
    d = json.loads(l)
    if "debit" in d and "sum_fen" in d: n += (d["debit"] == 3000002) * d["sum_fen"] - (d["credit"] == 3000002) * d["sum_fen"]
print(n)')"
fourth=$(TZ=UTC-8 date -d '+3 day' +%F) fifth=$(TZ=UTC-8 date -d '+4 day' +%F)
bank 0
show 2 5@-15; "$B/qingfen" day close "$fourth" >/dev/null && "$B/qingfen" day settle "$fourth" >/dev/null 2>&1
show 1 5@-35; "$B/qingfen" day close "$fifth" >/dev/null && "$B/qingfen" day settle "$fifth" >"$dir/settled" 2>&1
pays=$(ls "$dir"/bank/in/DSPY*2 2>/dev/null | tail -1)
is "a ride that a late one made a transfer is given back, by a file of its own" "1 RECONCILED" "$(grep -c '^D' "$pays") $(grep -o RECONCILED "$dir/settled")"
"$B/qingfen" explain debit "$(items "$pays")" | grep -q '退款, 以前乘车的调整 .*1.00 元  已退'; say "and the refund explains itself" $? "$("$B/qingfen" explain debit "$(items "$pays")")"
sixth=$(TZ=UTC-8 date -d '+5 day' +%F) seventh=$(TZ=UTC-8 date -d '+6 day' +%F)
printf 'prefix,first_fen,account,title,from,to\n621799,150,3000003,首乘协议,2025-01-01,\n' >"$dir/contract.csv"
"$B/qingfen" load contract "$dir/contract.csv" >/dev/null; say "a contract on lost first rides is loaded" $?
bank 100
show 1 6@-5; "$B/qingfen" day close "$sixth" >/dev/null && "$B/qingfen" day settle "$sixth" >/dev/null 2>&1
"$B/qingfen" bank list | grep -q '^621799\*\*\*\*\*\*0006  首乘风险 .*2.00'; say "a card's first debit that is refused puts it on the list for its risk" $? "$("$B/qingfen" bank list)"
run 1; show 1 6; is "the card is denied" denied "$(answers 1)"
"$B/qingfen" day close "$seventh" >/dev/null
"$B/qingfen" report "$seventh" --form D-08 >"$dir/out"; grep -q '"bearer":"首乘协议","rides":1,"lost_fen":150' "$dir/out" && grep -q '"kind":"企业承担".*"lost_fen":50' "$dir/out"
say "the report tells what the bank bears by contract, and what the operator" $? "$(cat "$dir/out")"
printf 'action,pan,item,fen\nallow,%s,,\n' "$(sed -n 8p "$dir/cards/cards.csv" | cut -d, -f1)" >"$dir/allow.csv"
"$B/qingfen" bank load "$dir/allow.csv" >/dev/null 2>"$dir/err"; say "until it is allowed" $? "$(cat "$dir/err")"
run 1; show 1 6; is "then it rides again" go "$(answers 1)"
"$B/qingfen" check >"$dir/out" 2>&1 && [ ! -s "$dir/out" ]; say "every invariant holds" $? "$(cat "$dir/out")"
for d in "$tomorrow" "$third"; do "$B/qingfen" recompute "$d" >"$dir/out" 2>&1; say "a day of answers and payments recomputes to the same bytes" $? "$(cat "$dir/out")"; done
exit $status
