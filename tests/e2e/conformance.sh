#!/usr/bin/env bash
# Terminals against the conformance host: validatord, the example on libqfval, and one written from the documents in
# another language pass; each fault put into the latter is found by the rule it breaks. The certificate proves itself.
. "$(dirname "$0")/lib.sh"
O=${O:-build/gcc}
free_port() { python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
"$B/qingfen" sim city --out "$dir" --seed 7 --lines 4 --devices 4 --taps 100 >/dev/null 2>&1 || { echo "not ok - a city is made"; exit 1; }
IFS=, read -r terminal _ device operator _ < <(sed -n 2p "$dir/terminals.csv")
cp -r tariffs/packs/ganzhou "$dir/pack" && sed -i 's/^version:.*/version: 202599/' "$dir/pack/pack.yaml"
openssl rand -hex 32 >"$dir/key"
openssl rand -hex 32 >"$dir/other"
host() { # name, terminal's command, further options: one run against a terminal
	local name=$1 run=$2
	shift 2
	timeout 280 "$B/qingfen" sim host --conformance --city "$dir" --run "exec $run 2>>$dir/$name.terminal" "$@" >"$dir/$name.out" 2>"$dir/$name.err"
	echo $? >"$dir/$name.exit"
}
full=(--tariff "$dir/pack" --wait 60 --sign "$dir/key")

# ---- validatord: it has the pack's other version, and taps in its spool
conf() {
	cat <<EOF
device: $device
terminal: "$terminal"
spool: spool
host: 127.0.0.1
port: $1
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
back_off_s: 60
batch_taps: 4
EOF
}
port=$(free_port)
conf "$port" >"$dir/validatord.conf"
host first "$B/validatord -c $dir/validatord.conf" --port "$port" --tariff tariffs/packs/ganzhou --only tariff --wait 30
[ -s "$dir/tariff.blob" ]; say "validatord takes its first tariff from the host" $? "$(cat "$dir/first.err")"
"$B/validatord" -c "$dir/validatord.conf" --simulate 80 --once --wait 1 2>/dev/null
host validatord "$B/validatord -c $dir/validatord.conf" --port "$port" "${full[@]}" --out "$dir/validatord.json" &

# ---- the second terminal, without a fault
twin() { # port, name, fault
	echo "python3 $PWD/tests/e2e/double.py $1 $device $terminal $dir/devices/$device.pem $dir/ca.crt $dir/$2.spool $3"
}
port=$(free_port)
host twin "$(twin "$port" twin none)" --port "$port" "${full[@]}" --out "$dir/twin.json" --vectors tests/vectors &

# ---- the example, built from an installed tree as a maker builds it
if [ -n "${SAN:-}" ] || [ "${CC:-gcc}" != gcc ]; then
	example=skip
else
	example=$dir/terminal
	built=$({
		make -s install PREFIX=/usr DESTDIR="$dir/root" >/dev/null &&
			export PKG_CONFIG_PATH=$dir/root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dir/root &&
			gcc -std=c99 -pedantic -Wall -Wextra -Werror $(pkg-config --cflags qfval) -c docs/example-terminal.c -o "$dir/example.o" &&
			gcc -std=c17 -D_GNU_SOURCE -I. -c tests/e2e/soft_reader.c -o "$dir/reader.o" &&
			gcc -o "$example" "$dir/example.o" "$dir/reader.o" $(pkg-config --libs qfval) "$O/libvalidator.a" "$O/libtariffs.a" "$O/libkeys.a" \
				$(make -s --eval='print-libs:;@echo $(LIBS)' print-libs)
	} 2>&1)
	[ -x "$example" ]; say "the example builds as C99 from an installed tree" $? "$built"
	export LD_LIBRARY_PATH=$dir/root/usr/lib READER_KEYRING=$dir/keyring.qfk READER_PASSPHRASE=$dir/keyring.pass READER_TERMINAL=$terminal READER_EVERY_MS=300
	port=$(free_port)
	mkdir "$dir/example" && cp "$dir/tariff.blob" "$dir/example/"
	host example "$example 127.0.0.1 $port localhost $device $dir/devices/$device.pem $dir/ca.crt $dir/example 0" --port "$port" "${full[@]}" --out "$dir/example.json" &
fi

# ---- each fault, the scenarios that show it, and the rule that must find it
cat >"$dir/faults" <<'EOF'
name receipt hello
digest receipt batch
large receipt,split-receipt batch
stranger receipt record
reseal refuse-retry same-serial
delete-early cut-before-receipt order
skip receipt,split-receipt order
keep receipt once
babble receipt turn
own-clock blacklist,busy,refuse-retry,refuse-kept,cut-before-receipt,cut-in-receipt,other-receipt clock
gullible tariff tariff
greedy blacklist blacklist
mixed blacklist blacklist
whole split-receipt split-receipt
later later-fields later-fields
impatient busy busy
impatient refuse-retry refuse-retry
drop-refused refuse-kept refuse-kept
delete-early cut-before-receipt cut-before-receipt
half cut-in-receipt cut-in-receipt
credulous other-receipt other-receipt
credulous wrong-count wrong-count
credulous receipt-twice receipt-twice
stay garbage garbage
blind impostor impostor
old old-tls old-tls
hammer pace pace
powerless power power
EOF
broken() { # fault scenarios rule
	local name="$1.$3" port
	port=$(free_port)
	host "$name" "$(twin "$port" "$name" "$1")" --port "$port" --tariff "$dir/pack" --wait 60 --only "$2" --out "$dir/$name.json"
}
running=0
while read -r fault scenes rule; do
	broken "$fault" "$scenes" "$rule" &
	running=$((running + 1))
	[ $((running % 7)) -eq 0 ] && sleep 5
done <"$dir/faults"
wait

passes() { # name, sentence
	[ "$(cat "$dir/$1.exit")" = 0 ] && [ "$(grep -c ' failed ' "$dir/$1.out")" = 0 ]; say "$2" $? "$(grep -vE ' passed ' "$dir/$1.out") $(tail -n 3 "$dir/$1.err" "$dir/$1.terminal")"
}
passes validatord "validatord passes every scenario"
passes twin "a terminal written from the documents alone passes every scenario"
if [ $example = skip ]; then echo "ok - the example passes every scenario # SKIP another compiler or sanitizers"; else
	passes example "the example passes every scenario"
	grep -q '^clock .* passed ' "$dir/example.out"; say "the example's records show the host's clock" $? "$(head -n 9 "$dir/example.out")"
fi
missed=""
while read -r fault scenes rule; do
	grep -q "^$rule .* failed " "$dir/$fault.$rule.out" && [ "$(cat "$dir/$fault.$rule.exit")" = 1 ] || missed="$missed
$fault, $rule, exit $(cat "$dir/$fault.$rule.exit"): $(grep -vE ' (passed|not-run) ' "$dir/$fault.$rule.out") $(tail -n 5 "$dir/$fault.$rule.err" "$dir/$fault.$rule.terminal")"
done <"$dir/faults"
say "each of $(wc -l <"$dir/faults") faults is found by the rule it breaks" "$([ -z "$missed" ]; echo $?)" "$missed"
rules=$("$B/qingfen" sim host --list | cut -d' ' -f1)
missed=$(for r in $rules; do [ "$r" = receipt ] || grep -q " $r$" "$dir/faults" || echo "$r"; done)
is "no rule but the plain receipt is without a fault that breaks it" "" "$missed"

# ---- the certificate
python3 -c "import json, sys; print(json.load(open(sys.argv[1]))['signer'])" "$dir/twin.json" >"$dir/trust"
"$B/qingfen" verify "$dir/twin.json" --trust "$dir/trust" >"$dir/out"; say "the certificate of a terminal that passed is verified" $? "$(cat "$dir/out")"
is "it names the vectors it was tested with" "$(cat tests/vectors/*.hex | sha256sum | cut -d' ' -f1)" \
	"$(python3 -c "import json, sys; print(json.load(open(sys.argv[1]))['certificate']['vectors_sha256'].lower())" "$dir/twin.json")"
for change in 's/"double 1"/"double 2"/' 's/"result":"passed"/"result":"failed"/' 's/"signature":"\(.\)/"signature":"0\1/' 's/V-00001/V-00002/'; do
	sed "$change" "$dir/twin.json" >"$dir/forged.json"
	"$B/qingfen" verify "$dir/forged.json" --trust "$dir/trust" >"$dir/out"; code=$?
	[ $code = 1 ] && grep -q NOT "$dir/out" || { echo "not ok - a changed certificate is refused"; echo "$change: $code"; status=1; }
done
echo "ok - a certificate changed in four places is refused each time"
port=$(free_port)
host again "$(twin "$port" twin none)" --port "$port" --wait 60 --only receipt --out "$dir/again.json" --sign "$dir/other"
"$B/qingfen" verify "$dir/again.json" --trust "$dir/trust" >"$dir/out"; code=$?
[ $code = 1 ] && grep -q '4 NOT' "$dir/out"; say "a certificate of another signer is refused" $? "$code $(cat "$dir/out")"
"$B/qingfen" verify "$dir/again.json" >"$dir/out"; code=$?
[ $code = 1 ] && grep -q '6 NOT' "$dir/out" && [ "$(cat "$dir/again.exit")" = 8 ]; say "a run of some scenarios is incomplete and no pass" $? "$code $(cat "$dir/out")"
"$B/qingfen" verify "$dir/keep.once.json" >"$dir/out"; code=$?
[ $code = 1 ] && grep -q '3 NOT' "$dir/out"; say "a certificate without a signature is refused" $? "$code $(cat "$dir/out")"
"$B/qingfen" sim host --conformance --port 1 --city "$dir" --only no-such 2>"$dir/err"; code=$?
[ $code = 2 ] && grep -q 'no-such: no such scenario' "$dir/err"; say "an unknown scenario is named" $? "$code $(cat "$dir/err")"
exit $status
