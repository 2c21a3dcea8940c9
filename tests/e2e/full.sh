#!/usr/bin/env bash
# The store is full in the middle of the load: no receipt without what it promises, nothing half kept, and with room it goes on.
. "$(dirname "$0")/lib.sh"
pid=0
trap '[ $pid -ne 0 ] && kill -9 $pid 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$B/qingfen" sim city --out "$dir" --seed 7 --lines 4 --devices 40 --taps 250000 --batch 128 --day 2025-11-03 >"$dir/made" 2>&1 || { cat "$dir/made"; exit 1; }
start() { # map_mib
	sed -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" -e '/^partners:/,$d' \
		"$dir/clearingd.conf" >"$dir/now.conf"
	printf 'map_mib: %d\ncommit_batches: 4\n' "$1" >>"$dir/now.conf"
	"$B/clearingd" -c "$dir/now.conf" 2>>"$dir/log" &
	pid=$!
	for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && return 0; sleep 0.05; done
	return 1
}
field() { sed "s/.*\"$2\":\([0-9]*\).*/\1/" "$1"; }
upload() { timeout 60 "$B/qingfen" sim validators --city "$dir" --connect "127.0.0.1:$port" --bench --limit "$1" --json >"$dir/up" 2>"$dir/up.err"; }
start 16 || { cat "$dir/log"; echo "not ok - the daemon starts"; exit 1; }
"$B/qingfen" load tariff tariffs/packs/ganzhou >/dev/null
for f in terminals issuers riders; do "$B/qingfen" load $f "$dir/$f.csv" >/dev/null; done
(while kill -0 $pid 2>/dev/null; do "$B/qingfen" status >/dev/null 2>&1; sleep 0.05; done) & asking=$!	# memory is built again meanwhile
upload 8
kill $asking; wait $asking 2>/dev/null
receipted=$(field "$dir/up" receipted) sent=$(field "$dir/up" sent)
grep -q 'event=storage-full' "$dir/log" && [ "$receipted" -gt 0 ] && [ "$receipted" -lt "$sent" ]
say "a full store sends devices back and goes on answering" $? "$receipted of $sent; $(tail -3 "$dir/log")"
told=$("$B/qingfen" status --json | grep -o '"verdicts":{[^}]*}')
kill -9 $pid; wait $pid 2>/dev/null
start 256 || { cat "$dir/log"; echo "not ok - the daemon starts with a larger map"; exit 1; }
is "what was receipted is there after a start, and nothing else" "$receipted" "$(sed -n 's/.*event=replayed.* taps=\([0-9]*\).*/\1/p' "$dir/log" | tail -1)"
is "what the full store told of itself is what it kept" "$told" "$("$B/qingfen" status --json | grep -o '"verdicts":{[^}]*}')"
upload 60
say "with room again every record has its receipt" $? "$(cat "$dir/up" "$dir/up.err")"
is "and each is there once" "$sent" "$("$B/qingfen" status --json | sed 's/.*"taps":\([0-9]*\).*/\1/')"
"$B/qingfen" day close 2025-11-03 >/dev/null 2>"$dir/err" && "$B/qingfen" check >>"$dir/err" 2>&1
say "the day clears and every invariant holds" $? "$(cat "$dir/err")"

# All batches of the busiest device at once, nothing read before: more than the daemon keeps waiting for one connection.
rm -rf "$dir/store"
kill $pid; wait $pid 2>/dev/null
start 256
"$B/qingfen" load tariff tariffs/packs/ganzhou >/dev/null
for f in terminals issuers riders; do "$B/qingfen" load $f "$dir/$f.csv" >/dev/null; done
python3 - "$dir" "$port" >"$dir/out" 2>&1 <<'P'
import select, socket, ssl, struct, sys, time
dir, port = sys.argv[1], int(sys.argv[2])
data, at, of = open(dir + "/upload.qfu", "rb").read(), 8, {}
while at < len(data):
    device, terminal, resent, n = data[at:at + 16].rstrip(b"\0"), data[at + 16:at + 22], data[at + 22], struct.unpack(">I", data[at + 27:at + 31])[0] - 1
    if not resent: of.setdefault((device, terminal), []).append(data[at + 32:at + 32 + n])
    at += 32 + n
(device, terminal), batches = max(of.items(), key=lambda item: sum(map(len, item[1])))
frame = lambda kind, body: struct.pack(">IB", len(body) + 1, kind) + body
text = lambda s: bytes([0xA0 | len(s)]) + s
hello = b"\x95\x01" + text(device) + b"\xc4\x06" + terminal + text(b"test") + b"\xcf" + struct.pack(">Q", int(time.time() * 1000))
context = ssl.create_default_context(cafile=dir + "/ca.crt")
context.check_hostname = False
context.load_cert_chain("%s/devices/%s.pem" % (dir, device.decode()))
s = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
all = frame(1, hello) + b"".join(frame(3, b) for b in batches)
print(len(batches), "batches", len(all), "bytes")
assert len(all) > 400000
s.setblocking(False)		# one thread: a TLS connection of OpenSSL is not for two at once
left, got, kinds, until = memoryview(all), b"", [], time.time() + 20
while kinds.count(4) < len(batches) and time.time() < until:
    select.select([s], [s] if left else [], [], 0.1)
    try:
        left = left[s.send(left[:16384]):] if left else left
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError): pass
    try:
        more = s.recv(65536)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError): continue
    if not more: break
    got += more
    while len(got) >= 5 and len(got) >= 4 + struct.unpack(">I", got[:4])[0]:
        kinds.append(got[4])
        got = got[4 + struct.unpack(">I", got[:4])[0]:]
print(kinds.count(4), "receipts", set(kinds))
sys.exit(kinds.count(4) != len(batches))
P
say "a device that does not wait for its receipts gets each of them" $? "$(tail -4 "$dir/out")"
kill $pid; wait $pid 2>/dev/null
pid=0
exit $status
