#!/usr/bin/env bash
# The demonstration on a small city, kill -9 included: the same script, another size.
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for part in "${B:=bin}/clearingd" tariffs/packs/ganzhou/lines.csv; do
	[ -e "$part" ] || { echo "not ok - $part is there"; exit 1; }
done
sentence="a small city, killed once in the middle, settles to the plan with every planted fault"
if DEMO_DIR=$work/city DEMO_TAPS=3000 DEMO_DEVICES=20 DEMO_LINES=10 \
	timeout 120 tests/demo.sh >"$work/log" 2>&1; then
	echo "ok - $sentence"
else
	echo "not ok - $sentence"
	cat "$work/log" >&2
	exit 1
fi
