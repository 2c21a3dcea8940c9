#!/usr/bin/env bash
# Every verb explains itself, and a wrong call is a usage error.
. "$(dirname "$0")/lib.sh"
verbs=$("$B/qingfen" --help | sed -n 's/^  \([a-z]*\) .*/\1/p')
n=0 bad="" wrong=""
for v in $verbs; do
	n=$((n + 1))
	"$B/qingfen" $v --help 2>/dev/null | grep -q usage || bad="$bad $v"
	"$B/qingfen" $v --no-such-option >/dev/null 2>&1 </dev/null; [ $? -eq 2 ] || wrong="$wrong $v"
done
[ $n -ge 18 ] && [ -z "$bad" ]; say "each of the verbs has --help" $? "$bad of $n"
[ -z "$wrong" ]; say "an unknown option is a usage error in every verb" $? "$wrong"
"$B/qingfen" nosuch 2>/dev/null; is "an unknown verb is a usage error" 2 $?
"$B/qingfen" check --store "$dir/none" 2>/dev/null; code=$?; [ $code -ne 0 ]; say "a store that is not there is an error" $? "$code"
"$B/qingfen" status --socket "$dir/none" 2>/dev/null; is "no daemon is told as unreachable" 7 $?
for alg in 3des sm4; do
	"$B/qingfen" sim city --out "$dir/$alg" --lines 2 --devices 2 --taps 100 --purse $alg >/dev/null 2>&1; say "a city of $alg purses only is made" $?
done
"$B/qingfen" sim city --out "$dir/des" --purse des >/dev/null 2>&1; is "a city of purses of another algorithm is a usage error" 2 $?
exit $status
