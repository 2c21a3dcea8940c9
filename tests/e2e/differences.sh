#!/usr/bin/env bash
# Terminals that round otherwise, know no elder, give no transfer, take guests for others, or still have the old prices:
# each difference is told by its reason, the reasons sum to what was charged too much and too little, and the ledger agrees.
. "$(dirname "$0")/lib.sh"
pid=0
trap '[ $pid = 0 ] || { kill $pid; wait $pid; } 2>/dev/null; rm -rf "$dir"' EXIT
day=2025-11-03
q() { "$B/qingfen" "$@"; }

# in force: 83.3 %, other cities pay the full fare, and what becomes of differences
cp -r tariffs/packs/ganzhou "$dir/now"
sed -i -e 's/^version: .*/version: 202511/' -e "s/^valid_from: .*/valid_from: $day/" "$dir/now/pack.yaml"
sed -i -e '0,/price: 90%/s//price: 83.3%/' -e '0,/guest: \[local, region, other\]/s//guest: [local, region]/' "$dir/now/rules.yaml"
cat >>"$dir/now/rules.yaml" <<'Y'
differences:
  - {id: rounding-kept, title: 取整差归企业, basis: 例一号, reason: [rounding], owed: absorb}
  - {id: small-kept, title: 不足三角不退, basis: 例二号, reason: [old-parameters, other], refund_from_fen: 30}
  - {id: rest-back, title: 其余退还, basis: 例三号}
Y
# the terminals': the same version, read wrongly
cp -r "$dir/now" "$dir/wrong"
sed -i -e 's/mode: half-up/mode: floor/' -e 's/^guest_default: other/guest_default: region/' "$dir/wrong/pack.yaml"
sed -i '0,/medium: \[card, ssc, qr\]/s//medium: [card, ssc, qr, manual]/' "$dir/wrong/rules.yaml"
python3 - "$dir/wrong/rules.yaml" <<'P'
import re, sys
t = open(sys.argv[1], encoding='utf-8').read()
t = re.sub(r'(?ms)^transfers:\n.*?(?=^\w)', '', t)
i = t.index('id: elder65'); t = t[:i] + t[i:].replace('from: 2025-01-01', 'from: 2099-01-01', 1)
open(sys.argv[1], 'w', encoding='utf-8').write(t)
P

# a day whose terminals charged by another pack than is rated by
cleared() { # folder, pack of the terminals
	local home=$dir/$1 port
	port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	export QINGFEN_STORE=$home/store QINGFEN_SOCKET=$home/clearingd.sock
	q sim city --out "$home" --pack "$2" --seed 11 --lines 8 --devices 8 --taps 1200 --day $day >"$dir/out" 2>&1 || { cat "$dir/out"; exit 1; }
	sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" \
		-e '/^partners:/,$d' "$home/clearingd.conf"
	"$B/clearingd" -c "$home/clearingd.conf" 2>"$home/log" & pid=$!
	for _ in $(seq 200); do q status >/dev/null 2>&1 && break; sleep 0.05; done
	for p in tariffs/packs/ganzhou "$dir/now"; do q load tariff "$p" >"$dir/out" 2>&1 || { cat "$dir/out"; exit 1; }; done
	for f in terminals issuers riders; do q load $f "$home/$f.csv" >/dev/null; done
	q load blacklist "$home/blacklist.csv" --version 1 >/dev/null
	timeout 60 "$B/qingfen" sim validators --city "$home" --connect "127.0.0.1:$port" --json >/dev/null 2>&1
	q day close $day >/dev/null || exit 1
	kill $pid; wait $pid 2>/dev/null; pid=0
	q report $day --form D-07 >"$home/d07"
	q report $day --form D-01 >"$home/d01"
	q dump --canonical --date $day >"$home/dump"
}
cat >"$dir/table.py" <<'P'
import collections, json, sys
home = sys.argv[1]
form, first = (json.load(open(home + '/' + f)) for f in ('d07', 'd01'))
rows = [json.loads(l) for l in open(home + '/dump')]
taps = [r for r in rows if r.get('verdict') in ('accepted', 'pending')]
ledger = collections.Counter()
for r in rows:
    if 'sum_fen' in r:
        ledger[r['reason']] += r['sum_fen']
by = collections.defaultdict(lambda: [0, 0, 0, 0])
for t in taps:
    if 'difference' in t:
        for i, n in enumerate((1, t['overcharge_fen'], t['undercharge_fen'], t['kept_fen'])):
            by[t['difference']][i] += n
said = collections.defaultdict(lambda: [0, 0, 0, 0])
for r in form['rows']:
    for i, k in enumerate(('taps', 'overcharge_fen', 'undercharge_fen', 'kept_fen')):
        said[r['reason']][i] += r[k]
due = lambda t: t['rated_fen'] + t.get('hold_fen', 0)
facts = {
    'rows': dict(said) == dict(by),
    'over': form['total']['overcharge_fen'] == first['total']['overcharge_fen'] == sum(max(t['charged_fen'] - due(t), 0) for t in taps),
    'under': form['total']['undercharge_fen'] == first['total']['undercharge_fen'] == sum(max(due(t) - t['charged_fen'], 0) for t in taps),
    'relations': all(r['holds'] for r in form['relations']) and len(form['relations']) == 5,
    'kept': sum(t['kept_fen'] for t in taps if 'difference' in t and t['verdict'] == 'accepted') == ledger[18],
}
if len(sys.argv) == 2:
    for k, v in facts.items():
        if not v: print(k, dict(said), dict(by), form['total'], first['total'], dict(ledger))
elif sys.argv[2] == 'names':
    print(*sorted(n for n in by if by[n][0] > 0))
elif sys.argv[2] == 'ledger':
    print(ledger[int(sys.argv[3])])
else:
    print(next(t['tap'] for t in taps if t.get('difference') == sys.argv[3]))
P
table() { python3 "$dir/table.py" "$@"; }

cleared a "$dir/wrong"
seen=$(table "$dir/a" names)
for reason in rounding unknown-hold transfer-not-given guest manual other; do
	grep -qw -- "$reason" <<<"$seen"; say "terminals that read the pack wrongly: some charged otherwise by reason of $reason" $? "$seen"
done
is "the form has every reason with the counts and fen of its taps, and sums to what was charged too much and too little" "" "$(table "$dir/a")"
[ "$(table "$dir/a" ledger 18)" -gt 0 ]; say "what stays with operators is a posting of its own" $? "$(cat "$dir/a/d07")"
why() { q explain tap "$(table "$1" tap "$2")"; }
for w in "rounding|原因 取整方式不同 (rounding): 按舍去尾数取整即为实收" "unknown-hold|原因 终端不知持卡人权益 (unknown-hold): 不计" \
	"transfer-not-given|原因 有前一程, 但终端未给换乘优惠" "guest|原因 异地卡类别不同" "manual|原因 司机录入的金额" "other|原因 其他"; do
	why "$dir/a" "${w%%|*}" >"$dir/out"; grep -qF -- "${w#*|}" "$dir/out"; say "the explanation of such a tap says so: ${w%%|*}" $? "$(cat "$dir/out")"
done
why "$dir/a" unknown-hold | grep -q '处理 其余退还  依据: 例三号'; say "and names the policy with its document" $? "$(why "$dir/a" unknown-hold)"
q recompute $day >"$dir/out" 2>&1; say "the day recomputes to the same bytes, reasons included" $? "$(cat "$dir/out")"
q check >"$dir/out" 2>&1; say "the invariants hold" $? "$(cat "$dir/out")"
q evidence $day --to "$dir/a.tar" >/dev/null && q verify "$dir/a.tar" >"$dir/out"; say "the evidence pack proves the form of differences" $? "$(cat "$dir/out")"
q report ${day%-*} --form D-07 --format csv >"$dir/out" 2>/dev/null; grep -q '取整差归企业,例一号' "$dir/out"; say "a month has the form as well" $? "$(cat "$dir/out")"

cleared b tariffs/packs/ganzhou
is "the form sums with terminals of old prices too" "" "$(table "$dir/b")"
why "$dir/b" old-parameters >"$dir/out"; grep -q '按终端版本 202501 计价即为实收' "$dir/out" && grep -q '留企业 0.0[0-9]' "$dir/out" && grep -q '不足三角不退' "$dir/out"
say "a terminal that still has the old prices is told by its version, and small amounts are not returned" $? "$(cat "$dir/out")"
names=$(python3 -c 'import json,sys
t = {r["reason"]: 0 for r in json.load(open(sys.argv[1]))["rows"]}
for r in json.load(open(sys.argv[1]))["rows"]: t[r["reason"]] += r["taps"]
print(max(t, key=t.get))' "$dir/b/d07")
is "and that is the reason of most differences of that day" old-parameters "$names"
q check >"$dir/out" 2>&1; say "the invariants hold there as well" $? "$(cat "$dir/out")"
exit $status
