#!/usr/bin/env bash
# docs/example-terminal.c, built from an installed tree as a maker builds it, runs a shift over TLS against clearingd, which
# then closes the day: what the gate charged is what the house finds due.
. "$(dirname "$0")/lib.sh"
O=${O:-build/gcc}
if [ -n "${SAN:-}" ] || [ "${CC:-gcc}" != gcc ]; then echo "ok - the example runs a day # SKIP another compiler or sanitizers"; exit 0; fi
pid=0
trap '[ $pid -ne 0 ] && kill -9 $pid && wait $pid 2>/dev/null; rm -rf "$dir"' EXIT
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
today=$(TZ=UTC-8 date -d '-3 hours' +%F)
"$B/qingfen" sim city --out "$dir" --seed 7 --lines 4 --devices 4 --taps 100 >/dev/null 2>&1 || { echo "not ok - a city is made"; exit 1; }
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" \
	-e "s|^open_day:.*|open_day: $today|" -e '/^partners:/,$d' "$dir/clearingd.conf"
"$B/clearingd" -c "$dir/clearingd.conf" 2>>"$dir/clearingd.log" &
pid=$!
for _ in $(seq 400); do "$B/qingfen" status >/dev/null 2>&1 && break; sleep 0.05; done
"$B/qingfen" load tariff tariffs/packs/ganzhou >/dev/null && "$B/qingfen" load terminals "$dir/terminals.csv" >/dev/null &&
	"$B/qingfen" load issuers "$dir/issuers.csv" >/dev/null && "$B/qingfen" load blacklist "$dir/blacklist.csv" --version 1 >/dev/null ||
	{ tail -n 5 "$dir/clearingd.log"; echo "not ok - reference data load"; exit 1; }
IFS=, read -r terminal _ device _ < <(sed -n 2p "$dir/terminals.csv")

built=$({
	make -s install PREFIX=/usr DESTDIR="$dir/root" >/dev/null &&
		export PKG_CONFIG_PATH=$dir/root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dir/root &&
		gcc -std=c99 -pedantic -Wall -Wextra -Werror $(pkg-config --cflags qfval) -c docs/example-terminal.c -o "$dir/example.o" &&
		gcc -std=c17 -D_GNU_SOURCE -I. -c tests/e2e/soft_reader.c -o "$dir/reader.o" &&
		gcc -o "$dir/terminal" "$dir/example.o" "$dir/reader.o" $(pkg-config --libs qfval) "$O/libvalidator.a" "$O/libtariffs.a" "$O/libkeys.a" \
			$(make -s --eval='print-libs:;@echo $(LIBS)' print-libs)
} 2>&1)
export LD_LIBRARY_PATH=$dir/root/usr/lib READER_KEYRING=$dir/keyring.qfk READER_PASSPHRASE=$dir/keyring.pass READER_TERMINAL=$terminal READER_EVERY_MS=20
timeout 100 "$dir/terminal" 127.0.0.1 "$port" localhost "$device" "$dir/devices/$device.pem" "$dir/ca.crt" "$dir/shift" 60 2>"$dir/log"; code=$?
[ $code = 0 ] && grep -q 'taps=60 .*waiting=0' "$dir/log"; say "the example brings its shift, lists and tariff first" $? "$code $built $(tail -n 5 "$dir/log")"
[ -s "$dir/shift/tariff.blob" ] && [ -s "$dir/shift/blacklist" ]; say "it keeps what it downloaded" $? "$(ls "$dir/shift")"
records=$(sed -n 's/.* records=\([0-9]*\) .*/\1/p' "$dir/log")
seen=$("$B/qingfen" status --json | python3 -c "
import json, sys
v = {k: n for k, n in json.load(sys.stdin)['verdicts'].items() if n}
print(sum(v.values()), v.get('event', 0), sum(v.get(k, 0) for k in ('bad-mac', 'malformed', 'conflict', 'duplicate', 'terminal-unknown')))")
is "each record is there once, three of them events, and no code is wrong" "$records 3 0" "$seen"
"$B/qingfen" day close "$today" >"$dir/out" 2>&1; say "the day is closed" $? "$(cat "$dir/out")"
"$B/qingfen" check >"$dir/out" 2>&1; code=$?
[ $code = 0 ] && [ ! -s "$dir/out" ]; say "the money invariants hold" $? "$(cat "$dir/out")"
"$B/qingfen" dump --canonical --date "$today" >"$dir/dump" 2>"$dir/err"
python3 - "$dir/dump" <<'P'; say "what the gate charged is what the house finds due, for every ride" $? "$(head -n 3 "$dir/dump") $(cat "$dir/err")"
import json, sys
rides = [t for t in map(json.loads, open(sys.argv[1])) if t.get("verdict") == "accepted"]
sys.exit(0 if len(rides) > 20 and all(t["charged_fen"] == t["rated_fen"] for t in rides) else 1)
P
exit $status
