#!/usr/bin/env bash
# Runs every test and counts. Unit tests are cmocka programs speaking TAP, the others scripts that print
# "ok - sentence", "not ok - sentence" or "ok - sentence # SKIP why". Last line: N passed, N failed.
set -u
cd "$(dirname "$0")/.."
export B=${B:-bin} O=${O:-build/gcc} CC=${CC:-gcc} SAN=${SAN:-}
export CMOCKA_MESSAGE_OUTPUT=TAP ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1:detect_leaks=1}
export LC_ALL=C.UTF-8
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
passed=0 failed=0 skipped=0
run() { # name command...
	local name=$1 ok bad skip status
	shift
	timeout "${TEST_TIMEOUT:-300}" "$@" >"$log/out" 2>"$log/err" </dev/null
	status=$?
	skip=$(grep -c '^ok.*# SKIP' "$log/out")
	ok=$(($(grep -c '^ok' "$log/out") - skip))
	bad=$(grep -c '^not ok' "$log/out")
	if [ $status -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; echo "not ok - $name exits $status" >>"$log/out"; fi
	if [ $((ok + bad + skip)) -eq 0 ]; then bad=1; echo "not ok - $name ran no test" >>"$log/out"; fi
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
	printf '%-44s %4d passed %3d failed %3d skipped\n' "$name" "$ok" "$bad" "$skip"
	grep '# SKIP' "$log/out" | sed 's/^/    /'
	if [ "$bad" -ne 0 ]; then grep -v '^ok' "$log/out" | tail -n 60; tail -n 40 "$log/err"; fi
}
for t in "$O"/tests/test_*; do [ -x "$t" ] && case $t in *.o|*.d) ;; *) run "unit/$(basename "$t")" "$t" ;; esac; done
for f in "$O"/fuzz/fuzz_*; do
	case $f in *.o|*.d) continue ;; esac
	[ -x "$f" ] && run "fuzz/$(basename "$f")" "$f" "tests/fuzz/corpus/$(basename "$f" | sed s/^fuzz_//)"
done
for s in tests/*.sh tests/e2e/*.sh; do
	case $s in tests/run.sh|tests/demo.sh|tests/bench*.sh|*/lib.sh) continue ;; esac
	[ -x "$s" ] && run "${s#tests/}" "$s"
done
[ "$skipped" -eq 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
