# What the scripts share: B, a folder of their own, and one line for each sentence proven.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
B=$(cd "${B:-bin}" && pwd) || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export LC_ALL=C.UTF-8
status=0
say() { # sentence, 0 or not, what was seen
	if [ "$2" = 0 ]; then echo "ok - $1"; else echo "not ok - $1"; echo "${3:-}"; status=1; fi
}
is() { # sentence, expected, seen
	[ "$2" = "$3" ]; say "$1" $? "expected: $2
seen:     $3"
}
