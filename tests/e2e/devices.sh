#!/usr/bin/env bash
# Devices over real TLS: bound to their terminal, revoked while connected, two CAs, lists that expire.
. "$(dirname "$0")/lib.sh"
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
pid=0 agents=()
finish() { for p in "${agents[@]}" $pid; do [ "$p" -ne 0 ] && kill -9 "$p" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$dir"; }
trap finish EXIT
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$B/qingfen" sim city --out "$dir" --seed 7 --lines 4 --devices 4 --taps 100 >/dev/null 2>&1 || exit 1
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" \
	-e "s|^open_day:.*|open_day: $(TZ=UTC-8 date +%F)|" -e "s|^tls_client_ca:.*|tls_client_ca: clients.crt|" -e '/^partners:/,$d' "$dir/clearingd.conf"
printf 'tls_client_crl: crl.pem\ncrl_sweep_s: 1\ncrl_grace_h: 1\n' >>"$dir/clearingd.conf"
IFS=, read -r terminal psam device _ < <(sed -n 2p "$dir/terminals.csv")
ca_new() { # name
	mkdir -p "$dir/$1" && : >"$dir/$1/index.txt" && echo 01 >"$dir/$1/number"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -days 30 -keyout "$dir/$1.key" -out "$dir/$1.crt" 2>/dev/null
	printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index.txt\ncrlnumber=%s/number\ndefault_md=sha256\n' "$dir/$1" "$dir/$1" >"$dir/$1/conf"
}
device_new() { # file, ca, terminal, psam
	printf 'subjectAltName=URI:urn:qingfen:terminal:%s:psam:%s\nextendedKeyUsage=clientAuth\n' "$3" "$4" >"$dir/ext"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$device" -keyout "$dir/$1.key" -out "$dir/$1.csr" 2>/dev/null
	openssl x509 -req -in "$dir/$1.csr" -CA "$dir/$2.crt" -CAkey "$dir/$2.key" -set_serial "0x$(openssl rand -hex 8)" -days 20 -extfile "$dir/ext" -out "$dir/$1.crt" 2>/dev/null
	sed "s|DEVICE|$1|g" "$dir/conf" >"$dir/$1.conf"
}
lists() { # options of the list of old; the list of new is always fresh
	openssl ca -config "$dir/old/conf" -cert "$dir/old.crt" -keyfile "$dir/old.key" -gencrl "$@" 2>/dev/null >"$dir/crl.next"
	openssl ca -config "$dir/new/conf" -cert "$dir/new.crt" -keyfile "$dir/new.key" -gencrl -crldays 7 2>/dev/null >>"$dir/crl.next"
	mv "$dir/crl.next" "$dir/crl.pem"
}
clients() { for c in "$@"; do cat "$dir/$c.crt"; done >"$dir/clients.next"; mv "$dir/clients.next" "$dir/clients.crt"; }
seen() { # pattern: in what was logged since mark, within 10 s
	for _ in $(seq 100); do tail -n "+$((mark + 1))" "$dir/log" | grep -q "$1" && return 0; sleep 0.1; done; return 1
}
marked() { mark=$(wc -l <"$dir/log"); }
connections() { "$B/qingfen" status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["connections"])'; }
run() { timeout 20 "$B/validatord" -c "$dir/$1.conf" --once --wait "${2:-10}" 2>"$dir/err"; }
stay() { # device file: an agent that stays connected
	"$B/validatord" -c "$dir/$1.conf" 2>"$dir/agent" & agents+=($!); agent=$!
	for _ in $(seq 100); do [ "$(connections)" = 1 ] && return 0; sleep 0.1; done; return 1
}
gone() { kill -9 $agent; wait $agent 2>/dev/null; for _ in $(seq 50); do [ "$(connections)" = 0 ] && return; sleep 0.1; done; }
cat >"$dir/conf" <<EOF
device: $device
terminal: "$terminal"
spool: spool
port: $port
tls_cert: DEVICE.crt
tls_key: DEVICE.key
tls_ca: ca.crt
back_off_s: 1
EOF
ca_new old && ca_new new
device_new first old "$terminal" "$psam"
device_new wrong old "$terminal" 000000000001
device_new next new "$terminal" "$psam"
clients old && lists -crldays 7
"$B/clearingd" -c "$dir/clearingd.conf" 2>"$dir/log" & pid=$!
for _ in $(seq 100); do kill -0 $pid 2>/dev/null || break; sleep 0.1; done
! kill -0 $pid 2>/dev/null && grep -q 'crl-unusable' "$dir/log"; say "a list of an authority that is not ours stops the start" $? "$(cat "$dir/log")"
kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
clients old new
"$B/clearingd" -c "$dir/clearingd.conf" 2>"$dir/log" & pid=$!
for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && break; sleep 0.05; done
"$B/qingfen" load terminals "$dir/terminals.csv" >/dev/null || { cat "$dir/log"; exit 1; }

run first; say "a device whose binding the register bears is let in" $? "$(cat "$dir/err" "$dir/log")"
marked; run wrong 2; [ $? -eq 7 ] && seen 'another PSAM'; say "a certificate with another PSAM than the register's is refused" $? "$(tail "$dir/log")"
run next; say "while two CAs are trusted a device of the new one is let in" $? "$(cat "$dir/err")"
stay first; marked; clients new; seen "device=$device reason=.*issuer"; say "a retired CA's connection is closed" $? "$(tail "$dir/log")"
marked; clients old new; seen 'event=tls-loaded'; gone

marked; lists -crlsec 1; sleep 1.2; seen 'crl-expired' && run first; say "an expired list is used in its grace, with an alarm" $? "$(cat "$dir/err"; tail "$dir/log")"
past=$(date -u -d '-3 days' +%Y%m%d%H%M%SZ) stale=$(date -u -d '-2 hours' +%Y%m%d%H%M%SZ)
marked; lists -crl_lastupdate "$past" -crl_nextupdate "$stale"; seen 'crl-stale'; run first 2
[ $? -eq 7 ] && seen 'past its grace'; say "past the grace a new connection is refused" $? "$(tail "$dir/log")"
run next; say "and a device whose CA has a fresh list is not touched by it" $? "$(cat "$dir/err")"

marked; lists -crldays 7; seen 'crl-loaded'
cp "$dir/crl.pem" "$dir/crl.before"
stay first; marked; start=$(date +%s%N)
openssl ca -config "$dir/old/conf" -cert "$dir/old.crt" -keyfile "$dir/old.key" -revoke "$dir/first.crt" 2>/dev/null
lists -crldays 7; seen "connection-closed device=$device reason=.certificate revoked"; code=$?
echo "# cut off after $((($(date +%s%N) - start) / 1000000)) ms with crl_sweep_s: 1"
say "a revoked device's live connection is closed, with the reason" $code "$(tail "$dir/log")"
gone; marked; run first 2; [ $? -eq 7 ] && seen 'certificate revoked'; say "and it is not let in again" $? "$(tail "$dir/log")"
marked; cp "$dir/crl.pem" "$dir/crl.after"; cp "$dir/crl.before" "$dir/crl.pem"
seen 'crl-unusable alarm=1.*older list was put back' && { run first 2; [ $? -eq 7 ]; } && seen 'certificate revoked'
say "the list of before put back takes no revocation back, and is an alarm" $? "$(tail "$dir/log")"
kill -TERM $pid; wait $pid
"$B/clearingd" -c "$dir/clearingd.conf" 2>"$dir/log" & pid=$!
for _ in $(seq 100); do kill -0 $pid 2>/dev/null || break; sleep 0.1; done
! kill -0 $pid 2>/dev/null && grep -q 'older list was put back.*no device is let in' "$dir/log"; say "nor after a restart, which stops at it" $? "$(cat "$dir/log")"
cp "$dir/crl.after" "$dir/crl.pem"
"$B/clearingd" -c "$dir/clearingd.conf" 2>"$dir/log" & pid=$!
for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && break; sleep 0.05; done
run next; say "with the right list the house is open again" $? "$(cat "$dir/err" "$dir/log")"
exit $status
