#!/usr/bin/env bash
# Entitlements end to end: a bureau prepares and signs, the house takes, the next tap is priced by it; what is withdrawn
# is ordinary again; a replaced card keeps what its person has; nothing that names a person is in the store.
. "$(dirname "$0")/lib.sh"
pid=0
trap '[ $pid -ne 0 ] && kill -9 $pid 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
day=2025-11-03 n=0
e() { timeout 60 "$B/qingfen" entitlements "$@"; }
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$B/qingfen" sim city --out "$dir" --seed 7 --lines 4 --devices 4 --taps 400 --day $day >/dev/null 2>&1 || exit 1
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" -e '/^partners:/,$d' "$dir/clearingd.conf"
start() {
	"$B/clearingd" -c "$dir/clearingd.conf" 2>>"$dir/log" &
	pid=$!
	for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && return 0; sleep 0.05; done
	return 1
}
start || { cat "$dir/log"; echo "not ok - the daemon starts"; exit 1; }
cp -r tariffs/packs/ganzhou "$dir/pack"
sed -i '/id: pupil$/,/fund:/s/^    price: 50%/    price: 50%\n    quota: two-a-day\n    quota_empty: published/' "$dir/pack/rules.yaml"
cat >>"$dir/pack/rules.yaml" <<'PACK'
quotas:
  - id: two-a-day
    title: 每日两次
    basis: 测试
    limit: 2
    per: day
PACK
"$B/qingfen" load tariff "$dir/pack" >/dev/null || { echo "not ok - the pack with a quota loads"; exit 1; }
for f in terminals issuers; do "$B/qingfen" load $f "$dir/$f.csv" >/dev/null; done
device=$(sed -n 2p "$dir/terminals.csv" | cut -d, -f3) terminal=$(sed -n 2p "$dir/terminals.csv" | cut -d, -f1)
file() { ls "$dir/devices/$device.$1" "$dir/devices/$device.pem" 2>/dev/null | head -1; }
# Fen of one more tap of a card, by what the running totals grow.
rated() { "$B/qingfen" status --json | grep -o '"provisional_rated_fen":[0-9]*' | cut -d: -f2; }
tap() { # pan, minutes after 9 o'clock
	local before
	before=$(rated) n=$((n + 1))
	timeout 20 "$B/qingfen" sim probe --connect "127.0.0.1:$port" --ca "$(ls "$dir"/ca.crt "$dir"/ca.pem 2>/dev/null | head -1)" --cert "$(file crt)" --key "$(file key)" \
		--device "$device" --terminal "$terminal" --pan "$1" --serial $n --later "$2" good >"$dir/probe"
	grep -q '"verdicts":\["accepted"\]' "$dir/probe" || cat "$dir/probe" >&2
	fen=$(($(rated) - before))
}

# ---- at the bureau ------------------------------------------------------------------------------
printf '%064d\n' 42 >"$dir/city.key"
edu=$("$B/qingfen" tariff person edu --to "$dir/edu.key" | sed -n 's/^edu,,//p') other=$("$B/qingfen" tariff person x --to "$dir/other.key" | sed -n 's/^x,,//p')
printf 'bureau,title,key,groups,facts,withdraw_max,late_holds\nedu,教育局,%s,pupil student,no,20,from-receipt\ndpf,残联,%s,disabled,no,20,adjust\n' "$edu" "$other" >"$dir/bureaus.csv"
"$B/qingfen" load bureaus "$dir/bureaus.csv" >/dev/null; is "bureaus are registered with key and groups" 0 $?
ids=(11010519491231002X 440524188001010014 360702201209013410)
identity() { python3 -c 'import sys
d = "36070220120901%03d" % int(sys.argv[1]); w = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
print(d + "10X98765432"[sum(int(a) * b for a, b in zip(d, w)) % 11])' "$1"; }
ids=(); for i in $(seq 1 10); do ids+=("$(identity "$i")"); done
mapfile -t handles < <(printf '%s\n' "${ids[@]}" | e handle --city-key "$dir/city.key")
is "an identity number gives a handle of 16 hex digits" "10 16" "${#handles[@]} ${#handles[0]}"
answer=$(echo 360702201209010011 | e handle --city-key "$dir/city.key" 2>&1); code=$?
[ $code -eq 3 ] && ! grep -q 36070220120901 <<<"$answer"; say "a wrong check digit is refused without quoting the number" $? "$answer"
prepare() { # sequence kind issued; rows on standard input after the head
	{ echo 'id,name,group,grade,from,to,verified_to,withdrawn'; cat; } >"$dir/in.csv"
	e prepare "$dir/in.csv" --city-key "$dir/city.key" --bureau edu --sequence "$1" --kind "$2" --issued "$3" --to "$dir/$1.csv" "${@:4}" && e sign "$dir/$1.csv" --key "$dir/edu.key"
}
load() { answer=$(e load "$dir/$1.csv" --sig "$dir/$1.csv.sig" "${@:2}" 2>&1); code=$?; }
for i in 1 2 3 4 5 6 7 8 9; do echo "${ids[$i]},王小明,pupil,,2025-09-01,2026-08-31,2026-08-31,"; done | prepare 1 full 2025-10-01
load 1; [ $code -eq 0 ] && grep -q 'state:taken' <<<"$answer"; say "a full batch is taken" $? "$answer"
load 1; [ $code -eq 0 ] && grep -q 'already taken' <<<"$answer"; say "the same batch again is answered: already taken" $? "$answer"

# ---- refusals ---------------------------------------------------------------------------------------
old=31047301000000000017 new=31047301000000000025 third=31047301000000000033
printf 'pan,person,medium,from,to\n%s,%s,ssc,2025-09-01,\n' $old "${handles[0]}" >"$dir/media.csv"
"$B/qingfen" load media "$dir/media.csv" >/dev/null; is "the media register is loaded" 0 $?
refused() { # sentence, pattern
	[ $code -eq 9 ] && grep -qE "$2" <<<"$answer"; say "$1" $? "$code: $answer"
}
echo "${ids[0]},王小明,pupil,,2025-09-01,2026-08-31,2026-08-31," | prepare 3 increment 2025-11-01
load 3; refused "a gap in the sequence is refused, and the next number told" '3.csv:1:1: batch 3 leaves a gap; batch 2 comes next'
echo "${ids[0]},王小明,pupil,,2025-09-01,2026-08-31,," | prepare 1 full 2025-10-01; load 1; refused "a number used before with other content is refused" '1.csv:1:1: batch 1 was taken before with other content'
echo "${ids[0]},王小明,disabled,,2025-09-01,,," | prepare 2 increment 2025-11-01; load 2; refused "a group the bureau may not grant is refused with its place" '2.csv:3:18: this bureau may not grant this group: .*disabled'
echo "${ids[0]},王小明,pupil,,2025-09-01,2026-08-31,2026-08-31," | prepare 2 increment 2025-11-01
cp "$dir/2.csv" "$dir/good.csv"; cp "$dir/2.csv.sig" "$dir/good.sig"; sed -i s/2026-08-30/2026-08-31/ "$dir/2.csv"; sed -i s/2025-09-01/2025-08-01/ "$dir/2.csv"
load 2; refused "a changed byte is refused: the signature is not over this file" '2.csv:1:1: the signature is not'
cp "$dir/good.csv" "$dir/2.csv"; e sign "$dir/2.csv" --key "$dir/other.key"; load 2; refused "another bureau's key does not sign for this one" 'the signature is not'
sed -i '1s/edu/edux/' "$dir/2.csv"; load 2; refused "an unknown bureau is refused" '2.csv:1:1: the bureau is not registered'
sed 's/,1$/,2/;' "$dir/good.csv" >"$dir/2.csv"; e sign "$dir/2.csv" --key "$dir/edu.key"; load 2; refused "a count that differs is refused" 'counts 2 rows, the file has 1'
echo "${ids[0]},王小明,pupil,,2025-09-01,,," | prepare 2 increment 2999-01-01; load 2; refused "a day of issue in the future is refused" 'lies in the future'

# ---- the fare ----------------------------------------------------------------------------------------
tap $old 0; ordinary=$fen
cp "$dir/good.csv" "$dir/2.csv"; cp "$dir/good.sig" "$dir/2.csv.sig"; load 2; is "the increment is taken after the refusals" 0 $code
tap $old 100; pupil=$fen; [ "$pupil" -gt 0 ] && [ "$pupil" -lt "$ordinary" ]; say "after the increment the pupil's next tap is cheaper" $? "$ordinary then $pupil"
printf 'pan,person,medium,from,to\n%s,%s,ssc,2025-09-01,2025-11-02\n%s,%s,ssc,2025-11-03,\n' $old "${handles[0]}" $new "${handles[0]}" >"$dir/media.csv"
"$B/qingfen" load media "$dir/media.csv" >/dev/null
tap $new 200; is "the replacement card has the person's entitlement" "$pupil" "$fen"
tap $new 300; full=$fen; [ "$full" -gt "$pupil" ]; say "and the person's quota: two rides a day, old card and new together" $? "$pupil then $full"
printf 'pan,from,to,action\n%s,2025-11-03T12:30:00+08:00,,refuse\n' $old >"$dir/black.csv"
"$B/qingfen" load blacklist "$dir/black.csv" --version 1 >/dev/null || echo "not ok - the black list loads"
tap $old 350 2>"$dir/lost"; [ "$fen" = 0 ] && ! grep -q accepted "$dir/lost"; say "the lost card is refused by the black list, the new one rides on" $? "$fen $(cat "$dir/lost")"
printf 'pan,person,medium,from,to\n%s,%s,ssc,2025-09-01,\n' $third "${handles[9]}" >"$dir/media.csv"
"$B/qingfen" load media "$dir/media.csv" >/dev/null
tap $third 400; late=$fen
"$B/qingfen" day close $day >/dev/null
is "cleared, the quota counts both cards too: two rides of the person at half price, two at the full fare" "$pupil $pupil $late $full $full" "$("$B/qingfen" dump --canonical --date $day | python3 -c 'import json, sys
print(*sorted(d["rated_fen"] for d in map(json.loads, sys.stdin) if "tap" in d and d["verdict"] == "accepted"))' 2>&1)"
"$B/qingfen" dump --canonical --date $day | python3 -c 'import json, sys
for d in map(json.loads, sys.stdin):
    if "tap" in d and d["verdict"] == "accepted": print(d["tap"])' | while read -r id; do "$B/qingfen" explain tap "$id"; done >"$dir/explained"
is "an explanation tells what the person's quota stood at before and after the ride" "乘前 0 乘后 1 上限 2, 乘前 1 乘后 2 上限 2, 乘前 2 乘后 2 上限 2" \
	"$(grep -o '乘前 .*' "$dir/explained" | sort -u | paste -sd, | sed 's/,/, /g')"
digest() { "$B/qingfen" dump --canonical --date $day | sha256sum; }
before=$(digest)
echo "${ids[0]},王小明,pupil,,2025-09-01,2026-08-31,2026-08-31,2025-11-03" | prepare 3 increment 2025-11-03; load 3; is "a withdrawal is taken" 0 $code
"$B/qingfen" recompute $day >"$dir/out" 2>&1; say "a hold received after the day was cut does not change that day" $? "$(cat "$dir/out")"
is "not a byte of it" "$before" "$(digest)"
tap $new 1540; is "after the withdrawal the fare is ordinary again" "$ordinary" "$fen"
printf 'id,group,from\n%s,disabled,2025-11-01\n' "${ids[9]}" >"$dir/in.csv"
e prepare "$dir/in.csv" --city-key "$dir/city.key" --bureau dpf --sequence 1 --kind full --issued 2025-11-04 --to "$dir/d1.csv" && e sign "$dir/d1.csv" --key "$dir/other.key"
load d1; is "a bureau whose late holds are adjusted sends one" 0 $code
"$B/qingfen" day close 2025-11-04 >/dev/null
is "its hold makes the ride of the settled day free by an adjustment, and only that ride" "late-hold $late 0" "$("$B/qingfen" dump --canonical --date 2025-11-04 | python3 -c 'import json, sys
print(*[" ".join([d["cause"], str(d["before"]["rated_fen"]), str(d["after"]["rated_fen"])]) for d in map(json.loads, sys.stdin) if "adjusts" in d])' 2>&1)"
is "the settled day keeps every byte" "$before" "$(digest)"
for d in $day 2025-11-04; do "$B/qingfen" recompute $d >>"$dir/out" 2>&1 || echo bad >>"$dir/bad"; done; [ ! -e "$dir/bad" ]; say "both days recompute to the same bytes" $? "$(cat "$dir/out")"
"$B/qingfen" check >"$dir/out" 2>&1; say "the money invariants hold" $? "$(cat "$dir/out")"
for i in 1 2; do echo "${ids[$i]},王小明,pupil,,2025-09-01,2026-08-31,2026-08-31,"; done | prepare 4 full 2025-11-04
load 4; refused "a full batch that would leave too many without is refused" '7 of 9 holders would lose all this bureau granted, more than 20 %'
load 4 --force; [ $code -eq 0 ] && grep -q 'withdrawn:7' <<<"$answer"; say "unless it is said that it is meant" $? "$answer"
echo "${ids[3]},王小明,pupil,,2025-09-01,2026-08-31,2026-08-31," | prepare 5 increment 2025-11-04 --ndjson; load 5; [ $code -eq 0 ] && grep -q 'changed:1' <<<"$answer"; say "an increment as NDJSON brings one back" $? "$answer"

# ---- looking ------------------------------------------------------------------------------------------
is "status tells batch, age, gaps and holders by group" "5 1 0 3 3" "$(e status --date 2025-11-05 --json | python3 -c 'import json, sys
b = json.load(sys.stdin)["bureaus"][0]; print(b["sequence"], b["age_days"], b["gaps"], b["holders"], b["groups"]["pupil"])')"
is "show tells source, batch and both cards, masked" "edu 3 310473**********0017 310473**********0025" "$(e show --pan $new | python3 -c 'import json, sys
p = json.load(sys.stdin); h = p["holds"][0]; print(h["source"], h["batch"], *sorted(m["pan"] for m in p["media"]))')"
e show 0000000000000001 2>/dev/null; is "a person nobody named is absent" 5 $?
python3 -c 'import json, re, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b"{\"cmd\":\"metrics\"}\n")
m = {k: int(v) for k, v in re.findall(r"^(qingfen_\S+) (\d+)$", json.loads(s.makefile().read())["text"], re.M)}
sys.exit(not (m["qingfen_stage_ns_total{stage=\"rate\"}"] > 0 and m["qingfen_thread_cpu_ns_total{thread=\"rater\"}"] > 0))' "$QINGFEN_SOCKET"
say "the metrics count the provisional fares' time and thread" $?
kill -9 $pid; wait $pid 2>/dev/null; start
load 5; grep -q 'already taken' <<<"$answer"; say "after kill -9 the house knows what it took" $? "$answer"
printf 'pan,person,medium,from,to\n%s9,%s,ssc,,\n' $third "${handles[0]}" >"$dir/media.csv"
answer=$("$B/qingfen" load media "$dir/media.csv" 2>&1); ! grep -q "$third" <<<"$answer" && grep -q 'media.csv:2:1' <<<"$answer"; say "a card number is not quoted in a refusal" $? "$answer"
found=""; for x in "${ids[@]}" 王小明; do grep -aq "$x" "$dir"/store/* "$dir/log" && found="$found $x"; done
[ -z "$found" ]; say "no identity number and no name is in the store or the log" $? "$found"
! grep -q "$old\|$new" "$dir/log"; say "no card number is in the log" $? "$(grep -n "$old\|$new" "$dir/log")"
kill $pid; wait $pid; pid=0
exit $status
