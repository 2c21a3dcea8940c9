#!/usr/bin/env bash
# A device's life with the house's own CA: code, key made on the device, certificate, renewal, revocation, lists.
. "$(dirname "$0")/lib.sh"
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock QINGFEN_DEVICE_CA=$dir/ca
pid=0 agents=()
finish() { for p in "${agents[@]}" $pid; do [ "$p" -ne 0 ] && kill -9 "$p" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$dir"; }
trap finish EXIT
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$B/qingfen" sim city --out "$dir" --seed 7 --lines 4 --devices 4 --taps 100 >/dev/null 2>&1 || exit 1
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" \
	-e "s|^open_day:.*|open_day: $(TZ=UTC-8 date +%F)|" -e "s|^tls_client_ca:.*|tls_client_ca: ca/ca.crt|" -e '/^partners:/,$d' "$dir/clearingd.conf"
mkdir "$dir/renewals"
printf 'tls_client_crl: crl.pem\ndevice_binding: 1\nrenewals: renewals\n' >>"$dir/clearingd.conf"	# the sweep is the default one
IFS=, read -r terminal psam device _ < <(sed -n 2p "$dir/terminals.csv")
IFS=, read -r terminal2 psam2 device2 _ < <(sed -n 3p "$dir/terminals.csv")
bus() { # file, device, terminal
	cat >"$dir/$1.conf" <<EOF
device: $2
terminal: "$3"
spool: spool-$1
port: $port
tls_cert: $1.crt
tls_key: $1.key
tls_ca: ca.crt
back_off_s: 1
EOF
}
bus one "$device" "$terminal"; bus two "$device2" "$terminal2"
echo "a long passphrase of the device CA" >"$dir/pass"
"$B/qingfen" tariff person zhang --to "$dir/zhang.key" >"$dir/persons.csv"
"$B/qingfen" tariff person li --to "$dir/li.key" >/dev/null
person=(--by zhang --key "$dir/zhang.key")
signs=("${person[@]}" --passphrase-file "$dir/pass")
q() { "$B/qingfen" device "$@"; }
state() { q list --json | python3 -c 'import json, sys
for l in sys.stdin:
    d = json.loads(l)
    if d["device"] == sys.argv[1]: print(d["state"])' "$1"; }
connections() { "$B/qingfen" status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["connections"])'; }
run() { timeout 20 "$B/validatord" -c "$dir/$1.conf" --once --wait "${2:-10}" 2>"$dir/err"; }

q init-ca --name "设备证书机构" --persons "$dir/persons.csv" "${signs[@]}" >/dev/null; is "a CA is made" 0 $?
grep -q 'ENCRYPTED PRIVATE KEY' "$dir/ca/ca.key" && [ "$(stat -c %a "$dir/ca/ca.key")" = 600 ]; say "its key lies encrypted, for its owner only" $? "$(stat -c %a "$dir/ca/ca.key")"
q init-ca --name again --persons "$dir/persons.csv" "${signs[@]}" >/dev/null 2>&1; is "a second one in the same folder is refused" 9 $?
q crl "${signs[@]}" --out "$dir/crl.pem" 2>/dev/null; is "the first list is signed" 0 $?

# enrolment: the code goes to the device, the key stays there
q enrol --device "$device" --terminal "$terminal" --psam "$psam" --by zhang --key "$dir/li.key" >/dev/null 2>&1; is "a key that is not the person's signs nothing" 9 $?
q enrol --device "$device" --terminal "$terminal" --psam "$psam" "${person[@]}" >"$dir/code" 2>/dev/null; is "a code is given for a device with its terminal and PSAM" 0 $?
! grep -q "$(tr -d - <"$dir/code")\|$(cat "$dir/code")" "$dir/ca/register.jsonl"; say "which the register does not tell" $?
is "and is waited for" code-given "$(state "$device")"
"$B/validatord" -c "$dir/one.conf" --enrol "$dir/code" 2>"$dir/err" && [ "$(stat -c %a "$dir/one.key")" = 600 ] && ! grep -q PRIVATE "$dir/one.crt.request"
say "the device makes its key and a request without it" $? "$(cat "$dir/err")"
echo "0000-0000-0000-0000-0000" >"$dir/guess"; mkdir "$dir/thief"; sed "s|one|thief/one|g" "$dir/one.conf" >"$dir/thief.conf"
"$B/validatord" -c "$dir/thief.conf" --enrol "$dir/guess" 2>/dev/null
q enrol --csr "$dir/thief/one.crt.request" "${signs[@]}" >/dev/null 2>"$dir/err"; [ $? -eq 9 ] && grep -q "does not prove" "$dir/err"; say "a request with another code is refused" $? "$(cat "$dir/err")"
proof=$(openssl req -in "$dir/one.crt.request" -noout -text 2>/dev/null | sed -n 's/.*challengePassword *://p')
printf '[req]\nprompt=no\ndistinguished_name=d\nattributes=a\n[d]\nCN=%s\n[a]\nchallengePassword=%s\n' "$device" "$proof" >"$dir/req.conf"
openssl req -new -key "$dir/thief/one.key" -config "$dir/req.conf" -out "$dir/mixed.request" 2>/dev/null
q enrol --csr "$dir/mixed.request" "${signs[@]}" >/dev/null 2>"$dir/err"; [ $? -eq 9 ] && [ ${#proof} = 64 ] && grep -q "does not prove" "$dir/err"
say "nor does the proof of a request that was seen help another key" $? "$proof $(cat "$dir/err")"
q enrol --csr "$dir/one.crt.request" "${signs[@]}" --out "$dir/issued.crt" 2>"$dir/err"; is "the device's own request becomes a certificate" 0 $?
openssl verify -CAfile "$dir/ca/ca.crt" -purpose sslclient "$dir/issued.crt" >/dev/null 2>&1 && openssl x509 -in "$dir/issued.crt" -noout -ext subjectAltName 2>/dev/null | grep -q "urn:qingfen:terminal:$terminal:psam:$psam"
say "of this CA, bound to terminal and PSAM" $? "$(openssl x509 -in "$dir/issued.crt" -noout -text | tail -40)"
q enrol --csr "$dir/one.crt.request" "${signs[@]}" >/dev/null 2>&1; is "the code is good once" 9 $?
"$B/validatord" -c "$dir/two.conf" --certificate "$dir/issued.crt" 2>/dev/null; is "another device does not take it" 9 $?
"$B/validatord" -c "$dir/one.conf" --certificate "$dir/issued.crt" 2>"$dir/err"; is "the device takes it" 0 $?
q enrol --device stranger --terminal "$terminal" --psam 000000000001 "${person[@]}" >/dev/null 2>&1; is "no other device gets a code for its terminal" 9 $?

"$B/clearingd" -c "$dir/clearingd.conf" 2>"$dir/log" & pid=$!
for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && break; sleep 0.05; done
"$B/qingfen" load terminals "$dir/terminals.csv" >/dev/null || { cat "$dir/log"; exit 1; }
run one; say "the house lets it in" $? "$(cat "$dir/err" "$dir/log")"

# a second device is revoked while connected, with the default sweep; what follows here runs meanwhile
q enrol --device "$device2" --terminal "$terminal2" --psam "$psam2" "${person[@]}" 2>/dev/null | "$B/validatord" -c "$dir/two.conf" --enrol - 2>/dev/null
q enrol --csr "$dir/two.crt.request" "${signs[@]}" --out "$dir/two.issued" 2>/dev/null && "$B/validatord" -c "$dir/two.conf" --certificate "$dir/two.issued" 2>/dev/null
"$B/validatord" -c "$dir/two.conf" 2>"$dir/agent" & agents+=($!)
for _ in $(seq 100); do [ "$(connections)" = 1 ] && break; sleep 0.1; done
revoked=$(date +%s%3N)
q revoke "$device2" --reason key-compromise "${signs[@]}" --out "$dir/crl.pem" 2>/dev/null; is "a stolen device is revoked with a reason" 0 $?
is "which the list of devices tells" revoked "$(state "$device2")"
is "and the revocation list, with its number" "02 Key Compromise" "$(openssl crl -in "$dir/crl.pem" -noout -text 2>/dev/null | grep -A1 'X509v3 CRL Number' | tail -1 | tr -d ' ' | sed 's/^\(.\)$/0\1/') $(openssl crl -in "$dir/crl.pem" -noout -text 2>/dev/null | grep -A1 'CRL Reason Code' | tail -1 | sed 's/^ *//')"

# renewal: a new key, signed for with the one in use
"$B/validatord" -c "$dir/one.conf" --renew 2>"$dir/err"; is "the device asks for its next certificate" 0 $?
cp "$dir/one.crt" "$dir/before.crt"
q renew --csr "$dir/thief/one.crt.request" "${signs[@]}" >/dev/null 2>&1; is "a request not signed with the key in use renews nothing" 9 $?
q renew --csr "$dir/one.crt.request" "${signs[@]}" --out "$dir/next.crt" 2>"$dir/err" && q renew --csr "$dir/one.crt.request" "${signs[@]}" --out "$dir/again.crt" && cmp -s "$dir/next.crt" "$dir/again.crt"
say "it is renewed, and asked again gets the same" $? "$(cat "$dir/err")"
"$B/validatord" -c "$dir/one.conf" --certificate "$dir/next.crt" 2>"$dir/err" && cmp -s "$dir/one.crt" "$dir/before.crt"; say "the old certificate stays until the new one is welcome" $? "$(cat "$dir/err")"
run one && cmp -s "$dir/one.crt" "$dir/next.crt" && [ ! -e "$dir/one.key.next" ]; say "the house welcomes the new one, which takes its place" $? "$(cat "$dir/err")"
run one; say "and goes on with it" $? "$(cat "$dir/err")"
is "no device is without a certificate meanwhile" valid "$(state "$device")"

# a new code for a device whose key was lost
rm "$dir/one.crt" "$dir/one.key"; cp "$dir/next.crt" "$dir/lost.crt"
q enrol --device "$device" --terminal "$terminal" --psam "$psam" "${person[@]}" 2>/dev/null | "$B/validatord" -c "$dir/one.conf" --enrol - 2>/dev/null
q enrol --csr "$dir/one.crt.request" "${signs[@]}" --out "$dir/new.crt" 2>/dev/null; is "a device that lost its key is enrolled anew" 0 $?
is "and what it had is taken back" "2 superseded" "$(q show "$device" --json | grep -c '"reason":"superseded"') $(q show "$device" --json | head -1 | grep -o superseded)"

# renewal over the connection, by itself: the CA's keeper only empties a folder
"$B/validatord" -c "$dir/one.conf" --certificate "$dir/new.crt" 2>/dev/null
printf 'renew_days: 400\nrenew_check_s: 1\n' >>"$dir/one.conf"
"$B/validatord" -c "$dir/one.conf" 2>"$dir/renewing" & agents+=($!)
until_seen() { for _ in $(seq 100); do grep -q "$1" "$2" && return 0; sleep 0.1; done; return 1; }
until_seen "renewal-asked device=$device" "$dir/log" && [ -s "$dir/renewals/$device.request" ]; say "a device whose certificate nears its end asks over its connection" $? "$(cat "$dir/renewing")"
cp "$dir/thief/one.crt.request" "$dir/renewals/$device2.request"
q renew --in "$dir/renewals" "${signs[@]}" >"$dir/out" 2>"$dir/err"; is "a request in the folder that nobody vouches for is put aside" "8 1" "$? $(ls "$dir/renewals" | grep -c "$device2.request.refused")"
until_seen certificate-renewed "$dir/renewing" && cmp -s "$dir/one.crt" "$dir/renewals/$device.crt" && ! cmp -s "$dir/one.crt" "$dir/new.crt"
say "the device gets its certificate, is welcome with it and keeps it" $? "$(cat "$dir/renewing")"
is "the old one is valid to its end" 2 "$(q show "$device" --json | grep -c '"state":"valid"')"
kill -9 ${agents[1]}; wait ${agents[1]} 2>/dev/null
! grep -q "certificate-not-welcome" "$dir/renewing"; say "no connection was refused on the way" $? "$(cat "$dir/renewing")"

# a new pair that the house does not trust: the old one goes on
QINGFEN_DEVICE_CA=$dir/strange q init-ca --name strange --persons "$dir/persons.csv" "${signs[@]}" >/dev/null
sed -i 's/^renew_days:.*/renew_days: 0/' "$dir/one.conf"
"$B/validatord" -c "$dir/one.conf" --renew 2>/dev/null
openssl x509 -req -in "$dir/one.crt.request" -CA "$dir/strange/ca.crt" -CAkey "$dir/strange/ca.key" -passin "file:$dir/pass" -days 9 -set_serial 7 -out "$dir/strange.crt" 2>/dev/null
"$B/validatord" -c "$dir/one.conf" --certificate "$dir/strange.crt" 2>/dev/null; cp "$dir/one.crt" "$dir/before.crt"
run one && grep -q "certificate-not-welcome alarm=1" "$dir/err" && cmp -s "$dir/one.crt" "$dir/before.crt"; say "a certificate that is not welcome locks nobody out" $? "$(cat "$dir/err")"

# the register
cp "$dir/ca/register.jsonl" "$dir/register"
tampered() { sed "$1" "$dir/register" >"$dir/ca/register.jsonl"; q list >/dev/null 2>"$dir/err"; [ $? -eq 4 ] && grep -q "register.jsonl:$2:1:" "$dir/err"; }
tampered '3s/"by":"zhang"/"by":"wangx"/' 3 && tampered 2d 2 && tampered '4{p;}' 5; say "a line changed, taken out or put in is found" $? "$(cat "$dir/err")"
cp "$dir/register" "$dir/ca/register.jsonl"
is "every act is there" "1 3 5 3" "$(for a in ca invite issue revoke; do grep -c "\"act\":\"$a\"" "$dir/register"; done | xargs)"
echo wrong >"$dir/wrong"; q crl "${person[@]}" --passphrase-file "$dir/wrong" >/dev/null 2>&1; is "without the passphrase nothing is signed" 3 $?

for _ in $(seq 600); do grep -q "connection-closed device=$device2 reason=.certificate revoked" "$dir/log" && break; sleep 0.1; done
closed=$(grep -m1 "connection-closed device=$device2 reason=.certificate revoked" "$dir/log" | cut -d' ' -f1)
took=$(($(date -d "${closed:-1970-01-01}" +%s%3N) - revoked))
echo "# cut off $took ms after the revocation was asked for, with the default sweep"
[ -n "$closed" ] && [ $took -le 60000 ]; say "the stolen device's live connection is cut off within 60 s" $? "$(tail "$dir/log")"
kill -9 ${agents[0]}; wait ${agents[0]} 2>/dev/null; agents=()
run two 2; [ $? -eq 7 ]; say "and it does not come back" $? "$(cat "$dir/err")"
exit $status
