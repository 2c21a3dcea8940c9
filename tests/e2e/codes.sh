#!/usr/bin/env bash
# The code platform in a box, and what qingfen qr verify says of its codes, good and bad.
. "$(dirname "$0")/lib.sh"
sim() { "$B/qingfen" sim codes --dir "$dir/platform" "$@"; }
verdict() { "$B/qingfen" qr verify --ca "$dir/platform/ca.txt" --at "$1" "$2" | sed 's/.*"verdict":"\([^"]*\)".*/\1/'; }
at=1762131600 pan=3104730100000000017
sim --init; say "a simulated code platform is made" $?
is "its secrets are its own" 600 "$(stat -c %a "$dir/platform/platform.key")"
code=$(sim --pan $pan --at $at --validity 60 --limit 900)
is "a code of the platform is good" good "$(verdict $((at + 60)) "$code")"
is "a second after its validity it is not" code-expired "$(verdict $((at + 61)) "$code")"
answer=$("$B/qingfen" qr verify --ca "$dir/platform/ca.txt" --at $at "$code")
grep -q '"pan":"03104730100000000017","issuer":"02184280","platform":"03664530".*"ride_limit_fen":900' <<<"$answer"; say "its fields come back" $? "$answer"
while read -r fault expected; do
	is "fault $fault is seen as $expected" "$expected" "$(verdict $at "$(sim --pan $pan --at $at --fault "$fault")")"
done <<FAULTS
local-time code-expired
wrong-user user-signature
wrong-issuer issuer-signature
wrong-ca certificate-signature
lapsed authorisation-expired
FAULTS
"$B/qingfen" sim codes --dir "$dir/other" --init
is "a code of another authority is refused" certificate-signature "$(verdict $at "$("$B/qingfen" sim codes --dir "$dir/other" --pan $pan --at $at)")"
is "codes are made one a second" 3 "$(sim --pan $pan --at $at --count 3 | cut -c "$((2 * 263 + 1))-$((2 * 267))" | sort -u | wc -l)"
"$B/qingfen" sim codes --dir "$dir/none" --pan 1 2>"$dir/err"; [ $? -ne 0 ] && grep -q 'make one with --init' "$dir/err"; say "a folder without a platform is refused with what to do" $? "$(cat "$dir/err")"
exit $status
