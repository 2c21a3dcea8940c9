#!/usr/bin/env bash
# The main job, end to end, on a generated city: upload over mutual TLS with a kill -9 in the
# middle, day cut, clear, settlement against the built-in T-Union centre and bank, reports,
# evidence; then the same city once more in another order. Every total and every planted fault is
# compared with the plan. Size and place: DEMO_DIR DEMO_TAPS DEMO_DEVICES DEMO_LINES DEMO_SEED
# DEMO_PARALLEL; B is the folder of the programs.
set -u
cd "$(dirname "$0")/.." || exit 1
B=$(cd "${B:-bin}" && pwd) || exit 1
dir=${DEMO_DIR:-demo} seed=${DEMO_SEED:-42} parallel=${DEMO_PARALLEL:-64}
lines=${DEMO_LINES:-60} devices=${DEMO_DEVICES:-1000} taps=${DEMO_TAPS:-200000}
day=2025-11-03 next=2025-11-04 pack=$PWD/tariffs/packs/ganzhou
bad=0 pids=() started=$(date +%s%N) step_at=0 daemon_pid=0 last=0
export LC_ALL=C.UTF-8

# ---- saying and stopping ------------------------------------------------------------------------
seconds() { awk -v a="$1" -v b="$(date +%s%N)" 'BEGIN { printf "%.1f", (b - a) / 1e9 }'; }
step() {
	step_at=$(date +%s%N)
	printf '%s ' "$1"
}
ready() { printf '... 完成 %s s  %s\n' "$(seconds "$step_at")" "${1:-}"; }
fail() {
	printf '\n失败: %s\n' "$1" >&2
	tail -n 15 "$dir"/log/*.log >&2 2>/dev/null
	exit 1
}
not_ok() {
	printf '  不符: %s\n' "$1"
	bad=$((bad + 1))
}
clean_up() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done
	wait 2>/dev/null
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# ---- helpers ------------------------------------------------------------------------------------
q() { "$B/qingfen" "$@"; }
logged() { # log command...
	local log=$dir/log/$1.log
	shift
	"$@" >>"$log" 2>&1
}
background() { # log command...: its pid in $last
	local log=$dir/log/$1.log
	shift
	"$@" >>"$log" 2>&1 &
	last=$!
	pids+=("$last")
}
await() { # seconds what command...
	local until=$(($(date +%s) + $1)) what=$2
	shift 2
	while ! "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt "$until" ] || fail "$what: 等待超时"
		sleep 0.05
	done
}
free_port() {
	python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
field() { # FILE NAME: a member of a JSON object
	python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"
}

# ---- clearingd ----------------------------------------------------------------------------------
config() { # name port: the city's configuration with a store, socket and port of its own
	sed -e "s|^store:.*|store: \"$dir/$1/store\"|" -e "s|^listen:.*|listen: 127.0.0.1:$2|" \
		-e "s|^control_socket:.*|control_socket: \"$dir/$1/clearingd.sock\"|" \
		"$dir/clearingd.conf" >"$dir/$1/clearingd.conf"
}
daemon() { # name: starts clearingd and waits until it answers
	export QINGFEN_STORE=$dir/$1/store QINGFEN_SOCKET=$dir/$1/clearingd.sock
	background "$1" "$B/clearingd" -c "$dir/$1/clearingd.conf"
	daemon_pid=$last
	await 15 clearingd q status
}
daemon_end() {
	kill "$daemon_pid" && wait "$daemon_pid" 2>/dev/null
}
load_all() {
	logged load q load tariff "$pack" && logged load q load terminals "$dir/terminals.csv" &&
		logged load q load issuers "$dir/issuers.csv" &&
		logged load q load blacklist "$dir/blacklist.csv" --version 1 &&
		logged load q load riders "$dir/riders.csv" || fail "装入参考数据"
}
close_day() { # date
	logged day q day close "$1" && logged day q day settle "$1" || fail "切日、清分、结算 $1"
}

# ---- the steps ----------------------------------------------------------------------------------
prepare() {
	mkdir -p "$dir" && dir=$(cd "$dir" && pwd) || exit 1
	rm -rf "${dir:?}"/{first,second,log,tunion,bank,reports,devices,half} "$dir"/*.{json,csv,qfe}
	mkdir -p "$dir"/{first,second,log,tunion,bank,reports}
}
make_city() {
	logged city q sim city --out "$dir" --seed "$seed" --lines "$lines" --devices "$devices" \
		--taps "$taps" --day $day || fail "生成城市"
	sent=$(field "$dir/plan.json" sent)
	ready "$lines 条线路  $devices 台机具  $sent 笔记录"
}
start_all() {
	local tunion bank
	port=$(free_port) tunion=$(free_port) bank=$(free_port)
	sed -i -e "s|127.0.0.1:7501|127.0.0.1:$tunion|" -e "s|127.0.0.1:7502|127.0.0.1:$bank|" \
		"$dir/clearingd.conf"
	config first "$port"
	background tunion "$B/qingfen" sim tunion --city "$dir" --listen "127.0.0.1:$tunion"
	background bank "$B/qingfen" sim bank --city "$dir" --listen "127.0.0.1:$bank"
	daemon first
	load_all
	ready
}
upload_and_kill() {
	local validators
	background validators "$B/qingfen" sim validators --city "$dir" \
		--connect "127.0.0.1:$port" --parallel "$parallel" \
		--mark "$dir/half" --mark-at 50 --limit 120 --json
	validators=$last
	while [ ! -e "$dir/half" ] && kill -0 "$validators" 2>/dev/null; do sleep 0.02; done
	[ -e "$dir/half" ] || fail "上传未到一半"
	kill -9 "$daemon_pid"
	wait "$daemon_pid" 2>/dev/null
	daemon first
	wait "$validators" || fail "上传: 并非全部回执"
	grep '^{' "$dir/log/validators.log" | tail -n 1 >"$dir/upload.json"
	receipted=$(field "$dir/upload.json" receipted)
	ready "$receipted 笔回执  重连 $(field "$dir/upload.json" reconnects) 次"
	[ "$sent" = "$receipted" ] || not_ok "发送 $sent 笔, 回执 $receipted 笔"
	[ "$(field "$dir/upload.json" different_receipts)" = 0 ] || not_ok "重复回执与首次不一致"
}
settle() {
	close_day $day
	q dump --canonical --date $day >"$dir/first/dump" || fail "规范化导出"
	ready
}
answered() { # the partners acknowledged every file of the day
	q day show $day --json | grep -qiE '"state": ?"(acked|reconciled)"'
}
book_answers() {
	await 20 "对手方应答" answered
	close_day $next
	ready
}
report_all() {
	local form kind
	for form in D-01 D-02 D-03 D-04 D-05; do
		for kind in json csv; do
			q report $day --form $form --format $kind >"$dir/reports/$form.$kind" ||
				fail "报表 $form"
		done
	done
	logged evidence q evidence $day --to "$dir/$day.qfe" || fail "证据包"
	logged evidence q verify "$dir/$day.qfe" || not_ok "qingfen verify"
	ready
}
prove() {
	logged check q check || not_ok "qingfen check"
	[ ! -s "$dir/log/check.log" ] || not_ok "qingfen check: $(head -n 3 "$dir/log/check.log")"
	logged recompute q recompute $day ||
		not_ok "qingfen recompute: $(head -n 3 "$dir/log/recompute.log")"
	daemon_end
	ready
}
once_more_shuffled() {
	local a b
	port=$(free_port)
	config second "$port"
	sed -i '/^partners:/,$d' "$dir/second/clearingd.conf"
	daemon second
	load_all
	logged shuffled q sim validators --city "$dir" --connect "127.0.0.1:$port" \
		--parallel "$parallel" --shuffle 4711 --limit 120 --json || fail "乱序上传"
	logged day q day close $day || fail "乱序切日"
	q dump --canonical --date $day >"$dir/second/dump" || fail "乱序导出"
	daemon_end
	export QINGFEN_STORE=$dir/first/store
	a=$(sha256sum <"$dir/first/dump") b=$(sha256sum <"$dir/second/dump")
	ready "sha256 ${a:0:16}"
	[ "$a" = "$b" ] || not_ok "乱序结果不同: ${a:0:16} ${b:0:16}"
}
conclude() {
	local tap
	echo
	python3 tests/demo_compare.py "$dir/plan.json" "$dir/planted.csv" "$dir/first/dump" \
		"$receipted" || bad=$((bad + 1))
	tap=$(awk -F, '$1 == "charged-more" { print $3; exit }' "$dir/planted.csv")
	printf '\n一笔多扣的刷卡: qingfen explain tap %s\n' "$tap"
	q explain tap "$tap" || not_ok "qingfen explain tap $tap"
	printf '\n报表 %s   证据包 %s\n' "$dir/reports" "$dir/$day.qfe"
	printf '库   %s   日志 %s\n' "$dir/first/store" "$dir/log"
	printf '试试 bin/qingfen report %s --form D-05 --store %s\n' $day "$dir/first/store"
	[ "$bad" -eq 0 ] || { echo "演示未通过: $bad 处不符  $(seconds "$started") s"; exit 1; }
	echo "演示通过  $(seconds "$started") s"
}

prepare
step "[1/8] 生成演示城市 (密钥仅供演示)"; make_city
step "[2/8] 启动对手方与 clearingd, 装入参考数据"; start_all
step "[3/8] 机具上传, 半途 kill -9"; upload_and_kill
step "[4/8] 切日, 清分, 结算 $day"; settle
step "[5/8] 对手方应答, 次日入账"; book_answers
step "[6/8] 报表, 证据包"; report_all
step "[7/8] 资金不变量, 重新清分"; prove
step "[8/8] 同一城市, 乱序再来一遍"; once_more_shuffled
conclude
