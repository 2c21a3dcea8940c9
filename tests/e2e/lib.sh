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
bus_conf() { # n, port: configuration of the nth device of the city in $dir, with what standard input adds; sets terminal, device, operator
	IFS=, read -r terminal _ device operator _ < <(sed -n "$(($1 + 1))p" "$dir/terminals.csv")
	cat >"$dir/bus$1.conf" <<Y
device: $device
terminal: "$terminal"
spool: spool$1
host: 127.0.0.1
port: $2
tls_cert: devices/$device.pem
tls_key: devices/$device.pem
tls_ca: ca.crt
operator: $operator
city: "4280"
acquirer: "12184280"
back_off_s: 1
Y
	cat >>"$dir/bus$1.conf"
}
