#!/usr/bin/env bash
# Images of the writer's memory in the real daemon: made while devices send, killed at any moment, damaged, in the way of a full
# start. Whatever becomes of them, a start knows what the inbox knows.
set -u
. "$(dirname "$0")/lib.sh"
export QINGFEN_STORE=$dir/store QINGFEN_SOCKET=$dir/clearingd.sock
pid=0 sender=0
trap '[ $pid -eq 0 ] || kill -9 $pid 2>/dev/null; [ $sender -eq 0 ] || kill -9 $sender 2>/dev/null; rm -rf "$dir"' EXIT
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$B/qingfen" sim city --out "$dir" --seed 11 --lines 4 --devices 12 --taps 12000 --cards 3000 --batch 32 --day 2025-11-03 >/dev/null 2>&1 || exit 1
sed -i -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e '/^partners:/,$d' "$dir/clearingd.conf"
conf() { # N: the daemon's configuration with images after so many taps
	{ cat "$dir/clearingd.conf"; echo "checkpoint_taps: $1"; } >"$dir/now.conf"
}
start() { # [COMMAND...]: the daemon, run by that command
	: >"$dir/log"
	"$@" "$B/clearingd" -c "$dir/now.conf" 2>>"$dir/log" &
	pid=$!
	for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && return 0; sleep 0.03; done
	return 1
}
killed() { [ $pid -eq 0 ] || { kill -9 $pid; wait $pid; } 2>/dev/null; pid=0; }
stopped() { kill $pid && wait $pid; local code=$?; pid=0; return $code; }
send() { "$B/qingfen" sim validators --city "$dir" --connect "127.0.0.1:$port" --bench --memory 0 --limit 60 "$@" >/dev/null 2>&1; }
known() { "$B/qingfen" status --json | grep -oE '"(taps_received|verdicts|batches)":(\{[^}]*\}|[0-9]+)'; }
field() { sed -n "s/.*event=replayed.* $1=\([^ ]*\).*/\1/p" "$dir/log"; }
same() { # sentence: a start with the image knows what one without it does
	local with from without
	conf 500; start || { say "$1" 1 "$(cat "$dir/log")"; return; }
	with=$(known) from="$(field image) from=$(field from)" seen=$(field image)
	killed
	conf 0; start || { say "$1" 1 "$(cat "$dir/log")"; return; }
	without=$(known)
	killed
	[ -n "$with" ] && [ "$with" = "$without" ]; say "$1" $? "image=$from
with:    $with
without: $without"
}
conf 500
start || { cat "$dir/log"; echo "not ok - the daemon starts"; exit 1; }
for what in "tariff tariffs/packs/ganzhou" "terminals $dir/terminals.csv" "issuers $dir/issuers.csv" "riders $dir/riders.csv"; do
	# shellcheck disable=SC2086
	"$B/qingfen" load $what >/dev/null || exit 1
done
for round in 1 2 3; do
	[ $pid -ne 0 ] || { conf 500; start; }
	"$B/qingfen" sim validators --city "$dir" --connect "127.0.0.1:$port" --bench --limit 60 --pace 6000 >/dev/null 2>&1 & sender=$!
	sleep "0.$((2 + round * 2))"
	killed
	{ kill $sender; wait $sender; } 2>/dev/null
	sender=0
	same "killed while devices send, round $round"
done
conf 500; start; send; before=$(known); stopped
say "an orderly end is one, with an image" $? "$(cat "$dir/log")"
grep -q "event=checkpoint seq=" "$dir/log"; say "the log tells of images made" $? "$(cat "$dir/log")"
start; is "a start after an orderly end reads no tap again" "0 yes" "$(field taps) $(field image)"
is "and knows what was known" "$before" "$(known)"
python3 - "$QINGFEN_SOCKET" >"$dir/out" <<'P'
import json, re, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'{"cmd":"metrics"}\n')
m = {k: int(v) for k, v in re.findall(r"^(qingfen_\S+) (\d+)$", json.loads(s.makefile().read())["text"], re.M)}
print({k: v for k, v in m.items() if "checkpoint" in k or "replay" in k})
sys.exit(not (m["qingfen_checkpoint_seq"] == m["qingfen_replay_from"] > 0 and m["qingfen_checkpoint_bytes"] > 1000 and
              m["qingfen_checkpoint_age_seconds"] < 300 and m["qingfen_checkpoint_failures_total"] == 0 and m["qingfen_replay_taps"] == 0))
P
say "the metrics tell where the image stands, its age and its size" $? "$(cat "$dir/out")"
stopped; ! strings -n 8 "$QINGFEN_STORE/live.image" | grep -qiE "key|pass"; say "no word of a key is in an image" $?
# The day is cut after the image.
conf 500; start; cp "$QINGFEN_STORE/live.image" "$dir/before.image"
"$B/qingfen" day close 2025-11-03 >/dev/null || say "the day closes" 1
send --devices 3; killed
cp "$dir/before.image" "$QINGFEN_STORE/live.image"; same "an image of before the day's cut serves after it"
is "and it was read" yes "$seen"
# Damaged, cut, foreign.
size=$(stat -c %s "$QINGFEN_STORE/live.image")
byte=$(od -An -tu1 -j $((size / 2)) -N 1 "$QINGFEN_STORE/live.image")
printf "\\x$(printf %02x $((byte ^ 255)))" | dd of="$QINGFEN_STORE/live.image" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
conf 500; start; grep -q 'event=checkpoint-refused.*reason="' "$dir/log" && [ "$(field image)" = no ]; say "a damaged image is refused with its reason" $? "$(cat "$dir/log")"
killed; head -c $((size / 3)) "$dir/before.image" >"$QINGFEN_STORE/live.image"
start; grep -q 'event=checkpoint-refused.*torn' "$dir/log"; say "a torn image is refused" $? "$(cat "$dir/log")"
killed
# Killed at a step of writing the file; refused by the disk.
rm -f "$QINGFEN_STORE/live.image"
conf 0; start; known >"$dir/known"; killed
if strace -f -qq -o /dev/null -e trace=none true 2>/dev/null; then
	for step in sync_file_range rename; do
		rm -f "$QINGFEN_STORE/live.image"; echo old >"$QINGFEN_STORE/live.image.new"; conf 1; : >"$dir/log"
		timeout 60 strace -f -qq -o /dev/null -e trace=$step -e inject=$step:signal=KILL:when=1 "$B/clearingd" -c "$dir/now.conf" 2>>"$dir/log"
		[ $? -eq 137 ] && [ -e "$QINGFEN_STORE/live.image.new" ]; say "the daemon is killed at $step of an image" $? "$(cat "$dir/log")"
		conf 500; start; is "and knows everything at the next start" "$(cat "$dir/known")" "$(known)"
		[ ! -e "$QINGFEN_STORE/live.image.new" ]; say "what was left of the file is gone" $?
		killed
	done
	rm -f "$QINGFEN_STORE/live.image"; conf 1
	start strace -f -qq -o /dev/null -e trace=rename -e inject=rename:error=EIO
	for _ in $(seq 100); do grep -q event=checkpoint-failed "$dir/log" && break; sleep 0.05; done
	grep -q 'event=checkpoint-failed reason="the file cannot be put in place"' "$dir/log" && [ "$(known)" = "$(cat "$dir/known")" ]
	say "an image that cannot be put in place is given up, and the daemon goes on" $? "$(cat "$dir/log")"
	kill "$(pgrep -P $pid)"; wait $pid; pid=0
else
	echo "ok - the daemon is killed at each step of an image # SKIP no process can be traced here"
fi
exit $status
