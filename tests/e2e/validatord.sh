#!/usr/bin/env bash
# validatord against clearingd: lists come down, taps go up once, whatever is killed in between.
set -u
cd "$(dirname "$0")/../.." || exit 1
B=$(cd "${B:-bin}" && pwd)
dir=$(mktemp -d) pid=0 agent=0 status=0
finish() {
	[ $agent -ne 0 ] && kill -9 $agent 2>/dev/null
	[ $pid -ne 0 ] && kill -9 $pid 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT
export LC_ALL=C.UTF-8 QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
say() { if [ "$2" = 0 ]; then echo "ok - $1"; else echo "not ok - $1"; echo "${3:-}"; status=1; fi; }
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
today=$(TZ=UTC-8 date +%F)
"$B/qingfen" sim city --out "$dir" --seed 7 --lines 4 --devices 4 --taps 100 >/dev/null 2>&1 || exit 1
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" \
	-e "s|^control_socket:.*|control_socket: clearingd.sock|" -e "s|^open_day:.*|open_day: $today|" \
	-e '/^partners:/,$d' "$dir/clearingd.conf"
start() {
	"$B/clearingd" -c "$dir/clearingd.conf" 2>>"$dir/clearingd.log" &
	pid=$!
	for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && return 0; sleep 0.05; done
	return 1
}
stop() { kill -9 $pid; wait $pid 2>/dev/null; pid=0; }
start || { cat "$dir/clearingd.log"; echo "not ok - clearingd starts"; exit 1; }
"$B/qingfen" load tariff tariffs/packs/ganzhou >/dev/null && "$B/qingfen" load terminals "$dir/terminals.csv" >/dev/null &&
	"$B/qingfen" load issuers "$dir/issuers.csv" >/dev/null &&
	"$B/qingfen" load blacklist "$dir/blacklist.csv" --version 1 >/dev/null || { echo "not ok - reference data load"; exit 1; }

IFS=, read -r terminal _ device operator _ < <(sed -n 2p "$dir/terminals.csv")
conf=$dir/validatord.conf
cat >"$conf" <<EOF
device: $device
terminal: "$terminal"
spool: spool
host: 127.0.0.1
port: $port
tls_cert: devices/$device.pem
tls_key: devices/$device.pem
tls_ca: ca.crt
keyring: keyring.qfk
passphrase_file: keyring.pass
operator: $operator
line: "1"
vehicle: 赣B12345
city: "4280"
acquirer: "12184280"
back_off_s: 1
batch_taps: 16
EOF
run() { timeout 60 "$B/validatord" -c "$conf" "$@" 2>>"$dir/log"; }
receipted() { grep -o 'event=receipt .*' "$dir/log" | sed 's/.*taps=\([0-9]*\).*/\1/' | awk '{ n += $1 } END { print n + 0 }'; }
counted() { # verdict: how many the daemon gave
	"$B/qingfen" status --json | python3 -c "import json, sys; print(json.load(sys.stdin)['verdicts'].get('$1', 0))"
}

missing=$("$B/validatord" --options | cut -f1 | while read -r name; do
	grep -qx ".It Ic $name" docs/validatord.conf.5 || echo "$name"
done)
[ -z "$missing" ]; say "the manual names every option" $? "$missing"
run --check-config; say "a good configuration passes --check-config" $?
sed -e 's/^port:.*/port: 70000/' -e 's/^line:/lien:/' "$conf" >"$dir/bad.conf"
"$B/validatord" -c "$dir/bad.conf" --check-config 2>"$dir/err"
[ $? -eq 3 ] && grep -q 'bad.conf:5:7: port: a whole number' "$dir/err" && grep -q 'did you mean "line"' "$dir/err"
say "every mistake in a configuration is named with its place" $? "$(cat "$dir/err")"

run --simulate 5 --once; [ $? -eq 3 ]; say "no taps are made before there is a tariff" $? "$(tail -n 2 "$dir/log")"
run --once; code=$?
[ $code -eq 0 ] && [ -s "$dir/tariff.blob" ] && head -n 1 "$dir/blacklist.txt" | grep -qx '# version 1'
say "tariff and black list are downloaded and stored" $? "$(tail -n 4 "$dir/log")"

stop
run --simulate 40 --once --wait 2; code=$?
[ $code -eq 7 ] && [ "$(receipted)" = 0 ]; say "without a daemon the taps wait and --once gives up with 7" $? "$code $(tail -n 3 "$dir/log")"
start
run --once; code=$?
records=$(receipted)
[ $code -eq 0 ] && [ "$records" -ge 43 ]; say "the spool is drained when the daemon is back" $? "$code $records"
[ "$(counted bad-mac)" = 0 ] && [ "$(counted malformed)" = 0 ] && [ "$(counted accepted)" -ge 30 ] && [ "$(counted event)" = 3 ]
say "the daemon finds every code of the gate good" $? "$("$B/qingfen" status --json)"
[ "$(counted grey)" -eq "$(grep -o 'answer=tap-again times=[0-9]*' "$dir/log" | sed 's/.*=//')" ] && [ "$(counted grey)" -gt 0 ]
say "each torn tap is one grey record, and its recovery counts as the tap" $? "$("$B/qingfen" status --json)"

seed=100 killed=0
for pause in 0.05 0.1 0.2 0.3 0.5; do
	seed=$((seed + 1))
	"$B/validatord" -c "$conf" --simulate 200 --seed $seed 2>>"$dir/log" &
	agent=$!
	sleep $pause
	kill -9 $agent && killed=$((killed + 1))
	wait $agent 2>/dev/null
	agent=0
done
stop; start
run --once; code=$?
taken=$("$B/qingfen" status --json | python3 -c "import json, sys; v = json.load(sys.stdin)['verdicts']; print(sum(v.values()))")
wrong=$(($(counted conflict) + $(counted counter-repeated) + $(counted bad-mac) + $(counted malformed) + $(counted duplicate)))
[ $code -eq 0 ] && [ $killed -eq 5 ] && [ "$wrong" = 0 ]
say "killed five times in the middle, the agent brings every tap once" $? "code $code, taken $taken, wrong $wrong, $("$B/qingfen" status --json)"

sed "s/^tls_ca:.*/tls_ca: bank.crt/" "$conf" >"$dir/other.conf"
timeout 20 "$B/validatord" -c "$dir/other.conf" --once --wait 2 2>"$dir/err"
[ $? -eq 7 ] && grep -qi 'disconnected.*\(certificate\|issuer\|verif\)' "$dir/err"; say "a server of another authority is not spoken to" $? "$(cat "$dir/err")"
sed "s/^device:.*/device: V-99999/" "$conf" >"$dir/other.conf"
timeout 20 "$B/validatord" -c "$dir/other.conf" --once --wait 3 2>"$dir/err"
[ $? -ne 0 ] && grep -q 'device differs from the certificate' "$dir/err"; say "a device that is not its certificate is told so" $? "$(cat "$dir/err")"

{ cat "$dir/blacklist.csv"; echo "3104730199000000001,2025-01-01T00:00:00+08:00,,refuse"; } >"$dir/more.csv"
"$B/qingfen" load blacklist "$dir/more.csv" --version 2 >/dev/null
run --once; head -n 1 "$dir/blacklist.txt" | grep -qx '# version 2' && grep -q 3104730199000000001 "$dir/blacklist.txt"
say "a new version of the black list replaces the old one" $? "$(cat "$dir/blacklist.txt")"
head -c 100 "$dir/tariff.blob" >"$dir/short" && mv "$dir/short" "$dir/tariff.blob"
run --once; [ "$(wc -c <"$dir/tariff.blob")" -gt 1000 ]; say "a damaged tariff file is replaced by the daemon's" $? "$(tail -n 5 "$dir/log")"

"$B/validatord" -c "$conf" 2>>"$dir/log" &
agent=$!
sleep 1
timeout 10 "$B/validatord" -c "$conf" --once 2>"$dir/err"; [ $? -eq 6 ]; say "a second agent on the spool is refused" $? "$(cat "$dir/err")"
kill -TERM $agent; wait $agent; code=$?; agent=0
events=$(counted event)
run --once
[ $code -eq 0 ] && [ "$(counted event)" -eq $((events + 1)) ]; say "told to stop, the agent signs off and ends with 0" $? "$code $events $(counted event)"
"$B/qingfen" day close "$today" >"$dir/day" 2>&1 && "$B/qingfen" check >"$dir/check" 2>&1 && [ ! -s "$dir/check" ]
say "the day with the gate's taps closes and every invariant holds" $? "$(cat "$dir/day" "$dir/check")"
exit $status
