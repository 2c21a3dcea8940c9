# What the benchmarks of whole days share: B, a folder of their own, a city of purse cards, a daemon
# over it. Sourced. BENCH_TAPS BENCH_CARDS BENCH_DEVICES BENCH_BATCH set the size.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
B=$(cd "${B:-bin}" && pwd) || exit 1
taps=${BENCH_TAPS:-1000000} cards=${BENCH_CARDS:-500000} devices=${BENCH_DEVICES:-1000} batch=${BENCH_BATCH:-128}
day=2025-11-03 pack=$PWD/tariffs/packs/ganzhou pid=
export LC_ALL=C.UTF-8
work=${BENCH_WORK:-$(mktemp -d)} # removed at the end; a city that lies in a given one is taken as it is
export QINGFEN_STORE=$work/city/store QINGFEN_SOCKET=$work/city/clearingd.sock
daemon_stop() {
	[ -z "$pid" ] || { kill "$pid" && wait "$pid"; } 2>/dev/null
	pid=
}
clean_up() { daemon_stop; rm -rf "$work"; }
trap clean_up EXIT
trap 'exit 130' INT TERM
fail() {
	echo "bench: $1" >&2
	tail -n 10 "$work"/*.log >&2 2>/dev/null
	exit 1
}
line() { # bench unit value cpu_s n [more members]
	printf '{"bench":"%s","unit":"%s","value":%s,"cpu_s":%s,"n":%s%s}\n' "$1" "$2" "$3" "$4" "$5" "${6:+,$6}"
}
cpu_s() { # processor seconds of a process so far, its threads included
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); printf "%.2f", ($12 + $13) / hz }' "/proc/$1/stat"
}
ready_s() { # seconds that threads of a process were ready to run and had no processor, of all threads together
	cat "/proc/$1"/task/*/schedstat | awk '{ s += $2 } END { printf "%.2f", s / 1e9 }'
}
sum() { awk "BEGIN { printf \"$1\", $2 }"; } # FORMAT EXPRESSION
field() { # FILE NAME: a member of a JSON object
	python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"
}
port_free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
with_peak() { # FILE COMMAND...: runs it; the most memory it had, in MiB, is in FILE
	python3 -c 'import resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10))
sys.exit(code if code >= 0 else 1)' "$@"
}
city_make() { # ALG
	[ ! -e "$work/city/upload.qfu" ] || return
	with_peak "$work/city_peak" "$B/qingfen" sim city --out "$work/city" --purse "$1" --lines 60 --devices "$devices" --taps "$taps" --cards "$cards" \
		--batch "$batch" --day $day >"$work/city.log" 2>&1 || fail "sim city"
}
daemon_start() { # [line of configuration]...: a daemon with an empty store and the city's reference data
	rm -rf "$QINGFEN_STORE"
	port=$(port_free)
	sed -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e '/^partners:/,$d' "$work/city/clearingd.conf" >"$work/clearingd.conf"
	printf '%s\n' "map_mib: ${map_mib:-65536}" "memory_ready_mib: ${memory_ready:-512}" "$@" >>"$work/clearingd.conf"
	"$B/clearingd" -c "$work/clearingd.conf" >"$work/clearingd.log" 2>&1 &
	pid=$!
	for _ in $(seq 300); do "$B/qingfen" status >/dev/null 2>&1 && break; sleep 0.1; done
	for what in "tariff $pack" "terminals $work/city/terminals.csv" "issuers $work/city/issuers.csv" \
		"blacklist $work/city/blacklist.csv --version 1"; do
		# shellcheck disable=SC2086
		"$B/qingfen" load $what >>"$work/load.log" 2>&1 || fail "load $what"
	done
	riders_load
}
riders_load() { # the register, in pieces that one load may have
	local piece head
	head=$(head -1 "$work/city/riders.csv")
	sed 1d "$work/city/riders.csv" | split -C 200m - "$work/riders."
	for piece in "$work"/riders.*; do
		{ echo "$head"; cat "$piece"; } >"$work/riders"
		rm -f "$piece"
		"$B/qingfen" load riders "$work/riders" >>"$work/load.log" 2>&1 || fail "load riders"
	done
	rm -f "$work/riders"
}
counted() { # the Python on the standard input, with the daemon's metrics m and its taps so far
	python3 -c "$(cat <<'P'
import json, re, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'{"cmd":"metrics"}\n')
m = {k: int(v) for k, v in re.findall(r"^(qingfen_\S+) (\d+)$", json.loads(s.makefile().read())["text"], re.M)}
taps = max(1, m['qingfen_stage_taps_total{thread="writer"}'])
P
	cat)" "$QINGFEN_SOCKET"
}
memory_ready_now() { counted <<<'print(m["qingfen_memory_ready_bytes"] >> 20)'; } # MiB
stages() { # nanoseconds a tap of each stage of the daemon so far, as members of a JSON object: clearingd(8), METRICS
	counted <<'P'
print(",".join('"%s_ns":%d' % (re.search('"(.*)"', k).group(1), v // taps) for k, v in m.items() if "stage_ns" in k), end="")
print(',"commits":%d,"commit_batches":%d' % (m["qingfen_commits_total"], m["qingfen_commit_batches_total"]), end="")
P
}
asked() { # members of the load generator's answer, as members of a JSON object
	local name members=""
	for name; do members+=",\"$name\":$(field "$work/upload.json" "$name")"; done
	echo "${members#,}"
}
# Processor time of the daemon since its start, seconds a million taps: of each of its threads, and of each stage on the
# clock, which on a machine of its own is the same. The sum of the threads, and members of a JSON object.
cpu_stages() {
	counted <<'P'
per = lambda name: {re.search('"(.*)"', k).group(1): v / taps / 1000 for k, v in m.items() if name in k}
threads, stages = per("thread_cpu_ns"), per("stage_ns")
stages.pop("wait", None)	# in the queue: no processor's
print("%.3f" % sum(threads.values()), end=" ")
print(",".join(['"thread_%s_s":%.3f' % (k.replace("-", "_"), v) for k, v in threads.items()] + ['"%s_s":%.3f' % i for i in stages.items()]))
P
}
anon_kb() { sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status"; } # memory of a process's own; the store's mapped pages are the system's
again() { # the daemon anew over the same store; what it says is in $work/again.log
	"$B/clearingd" -c "$work/clearingd.conf" >"$work/again.log" 2>&1 &
	pid=$!
	for _ in $(seq $((${BENCH_LIMIT:-1800} * 20))); do grep -q event=ready "$work/again.log" && return; sleep 0.05; done
	fail "restart"
}
replayed() { sed -n "s/.*event=replayed.* $1=\([^ ]*\).*/\1/p" "$work/again.log"; } # NAME
# Every device on a connection of its own sends its day; the answers lie in $work/upload.json. used: the daemon's
# processor seconds from the last handshake on; ready: seconds its threads waited for a processor meanwhile.
upload() { # [--pace N]
	local before
	for _ in $(seq 100); do [ "$(memory_ready_now)" -ge "${memory_ready:-512}" ] && break; sleep 0.1; done
	rm -f "$work/mark" "$work/cpu"
	(until [ -e "$work/mark" ]; do sleep 0.005; done; cpu_s $pid >"$work/cpu"; ready_s $pid >"$work/ready") & watch=$!
	with_peak "$work/generator_peak" timeout "${BENCH_LIMIT:-1800}" "$B/qingfen" sim validators --city "$work/city" \
		--connect "127.0.0.1:$port" --bench --limit "${BENCH_LIMIT:-1800}" --mark "$work/mark" --mark-at 0 --json "$@" \
		>"$work/upload.json" 2>"$work/upload.log" || { kill "$watch" 2>/dev/null; fail "sim validators"; }
	before=$(cpu_s $pid) ready=$(ready_s $pid)
	wait $watch
	ready=$(sum %.2f "$ready - $(cat "$work/ready")")
	used=$(sum %.2f "$before - $(cat "$work/cpu")")
	sent=$(field "$work/upload.json" sent) ms=$(field "$work/upload.json" ms)
	own=$(sum %.2f "$(field "$work/upload.json" own_cpu_us) / 1000000")
	rate=$(sum %.0f "$sent * 1000 / ($ms + 1)")
}
