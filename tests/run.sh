#!/usr/bin/env bash
# Runs every test, two at a time (JOBS), and counts: many scripts mostly wait, for a sweep, a deadline or a device. Unit
# tests are cmocka programs speaking TAP, the others scripts that print "ok - sentence", "not ok - sentence" or
# "ok - sentence # SKIP why". Last line: N passed, N failed.
set -u
cd "$(dirname "$0")/.."
export B=${B:-bin} O=${O:-build/gcc} CC=${CC:-gcc} SAN=${SAN:-} TEST_TIMEOUT=${TEST_TIMEOUT:-300}
export CMOCKA_MESSAGE_OUTPUT=TAP ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1:detect_leaks=1}
export LC_ALL=C.UTF-8
log=$(mktemp -d)
export log
trap 'rm -rf "$log"' EXIT
run() { # name command...
	local name=$1 own ok bad skip status
	shift
	own=$log/${name//\//.}
	timeout "$TEST_TIMEOUT" "$@" >"$own.out" 2>"$own.err" </dev/null
	status=$?
	skip=$(grep -c '^ok.*# SKIP' "$own.out")
	ok=$(($(grep -c '^ok' "$own.out") - skip))
	bad=$(grep -c '^not ok' "$own.out")
	if [ $status -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; echo "not ok - $name exits $status" >>"$own.out"; fi
	if [ $((ok + bad + skip)) -eq 0 ]; then bad=1; echo "not ok - $name ran no test" >>"$own.out"; fi
	echo "$ok $bad $skip" >"$own.count"
	{	# told in one piece
		printf '%-44s %4d passed %3d failed %3d skipped\n' "$name" "$ok" "$bad" "$skip"
		grep '# SKIP' "$own.out" | sed 's/^/    /'
		if [ "$bad" -ne 0 ]; then grep -v '^ok' "$own.out" | tail -n 60; tail -n 40 "$own.err"; fi
	} >"$own.told"
	cat "$own.told"
}
export -f run
tests() { # the longest first, so that no core waits for one at the end
	local s
	for s in tests/e2e/conformance.sh tests/e2e/enrol.sh tests/e2e/key_device.sh; do [ -x "$s" ] && echo "${s#tests/} $s"; done
	for s in tests/*.sh tests/e2e/*.sh; do
		case $s in tests/run.sh|tests/demo.sh|tests/bench*.sh|*/lib.sh|*/conformance.sh|*/enrol.sh|*/key_device.sh) continue ;; esac
		[ -x "$s" ] && echo "${s#tests/} $s"
	done
	for s in "$O"/tests/test_*; do case $s in *.o|*.d) ;; *) [ -x "$s" ] && echo "unit/$(basename "$s") $s" ;; esac; done
	for s in "$O"/fuzz/fuzz_*; do
		case $s in *.o|*.d) continue ;; esac
		[ -x "$s" ] && echo "fuzz/$(basename "$s") $s tests/fuzz/corpus/$(basename "$s" | sed s/^fuzz_//)"
	done
}
tests >"$log/list"
xargs -P "${JOBS:-2}" -L 1 bash -c 'run "$@"' run <"$log/list"
[ "$(wc -l <"$log/list")" -eq "$(cat "$log"/*.count | wc -l)" ] || { echo "some tests did not run"; echo "0 passed, 1 failed"; exit 1; }
read -r passed failed skipped < <(cat "$log"/*.count | awk '{ p += $1; f += $2; s += $3 } END { print p, f, s }')
[ "$skipped" -eq 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
