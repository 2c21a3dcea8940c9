#!/usr/bin/env bash
# libqfval as a terminal maker gets it: names, memory layout of the interface, and a program that has only the header.
set -u
cd "$(dirname "$0")/.." || exit 1
B=${B:-bin} status=0
say() { if [ -z "$2" ]; then echo "ok - $1"; else echo "not ok - $1"; echo "$2"; status=1; fi; }
if [ -n "${SAN:-}" ] || [ "${CC:-gcc}" != gcc ]; then echo "ok - the interface is compared in the gcc build # SKIP another compiler or sanitizers"; exit 0; fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
lib=$B/libqfval.so.1
say "the shared library shows only qfv_ names, all of version QFVAL_1" \
	"$(nm -D --defined-only "$lib" | awk '{ print $3 }' | grep -vE '^(qfv_[a-z_]*@@QFVAL_1|QFVAL_1(@@QFVAL_1)?)$')"
say "the static library shows only qfv_ names" "$(nm --defined-only -g "$B/libqfval.a" 2>/dev/null | awk 'NF == 3 { print $3 }' | grep -v '^qfv_')"
say "both show every function of the header" "$(grep -o '\bqfv_[a-z_]*(' validator/qfval.h | tr -d '(' | sort -u | grep -v '_fn$' | while read -r f; do
	nm -D --defined-only "$lib" | grep -q " $f@" && nm -g "$B/libqfval.a" 2>/dev/null | grep -q " T $f$" || echo "$f"; done)"
fields=$(sed -n 's/^\tX(\([a-z_]*\),.*/\1/p' validator/validator.h | awk '{ printf "QFV_TAP_%s = %d\n", toupper($1), NR - 1 }')
missing=$(echo "$fields" | while read -r f; do grep -q "^	$f\>" validator/qfval.h || echo "$f"; done)
[ "$(echo "$fields" | wc -l)" -ge 47 ] || missing="the table of fields was not found"
say "the header names every field of the record with its number" "$missing"
say "it needs only the C library, libcrypto and libxxhash" "$(objdump -p "$lib" | awk '$1 == "NEEDED" { print $2 }' | grep -vE '^((libc|libcrypto|libxxhash)\.so|ld-linux)')"
# Both sides as descriptions made in the same way: against a library abidiff passes over a change in a public structure.
describe() { abidw --headers-dir "$1" --drop-private-types --no-corpus-path --no-comp-dir-path --no-show-locs "$2" --out-file "$3"; }
describe validator "$lib" "$dir/now.abi"
changed=$(abidiff tests/abi/libqfval.abi "$dir/now.abi" 2>&1) && changed=""
say "the interface is the one that was published" "${changed:+$changed
The binary interface of libqfval changed. If a terminal built before still runs (a function more): make abi, and raise
QFV_VERSION_MINOR. If it does not: undo it, or make a libqfval.so.2 with QFVAL_2.}"
# what the test can see: a member in the middle of a public structure is found
sed 's/uint32_t size;/uint32_t size, extra;/' validator/qfval.h >"$dir/qfval.h"
cp validator/qfval*.c validator/qfval_inner.h validator/validator.h "$dir/"
mkdir "$dir/validator" && mv "$dir"/*.[ch] "$dir/validator/"
gcc -std=c17 -D_GNU_SOURCE -I"$dir" -I. -g -fPIC -shared -fvisibility=hidden -Wl,-soname,libqfval.so.1 -Wl,--version-script,validator/qfval.map "$dir"/validator/*.c -Wl,--unresolved-symbols=ignore-all \
	-o "$dir/other.so" 2>"$dir/err"
describe "$dir/validator" "$dir/other.so" "$dir/other.abi"
abidiff tests/abi/libqfval.abi "$dir/other.abi" 2>&1 | grep -q "member insertion" && seen="" || seen="not seen $(head -n 5 "$dir/err")"
say "a member put into a public structure is seen" "$seen"

cat >"$dir/client.c" <<'C'
#include <qfval.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	void *mem = malloc(qfv_tap_size());
	unsigned char out[QFV_TAP_BYTES_MAX];
	struct qfv_tap *t;
	int n;

	if (mem == NULL || qfv_tap_init(mem, qfv_tap_size(), &t) != 0)
		return 1;
	qfv_tap_set_number(t, QFV_TAP_KIND, 16);
	qfv_tap_set_number(t, QFV_TAP_TIME_MS, 1762131600000LL);
	n = qfv_tap_encode(t, out, sizeof(out));
	printf("%s %d\n", qfv_version_text(), n > 0 && qfv_tap_decode(t, out, (size_t)n) == 0);
	free(mem);
	return 0;
}
C
make -s install PREFIX=/usr DESTDIR="$dir/root" >"$dir/log" 2>&1 || say "make install works" "$(tail -n 5 "$dir/log")"
export PKG_CONFIG_PATH=$dir/root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dir/root
built=$(gcc -std=c99 -pedantic -Wall -Wextra -Werror "$dir/client.c" $(pkg-config --cflags --libs qfval) -o "$dir/client" 2>&1)
[ "$(LD_LIBRARY_PATH=$dir/root/usr/lib "$dir/client" 2>&1)" = "1.2 1" ] || built="$built $(LD_LIBRARY_PATH=$dir/root/usr/lib "$dir/client" 2>&1)"
say "a C99 program builds with the installed header and pkg-config, and runs" "$built"
built=$(gcc -std=c99 -pedantic -Wall -Wextra -Werror -I"$dir/root/usr/include" "$dir/client.c" "$dir/root/usr/lib/libqfval.a" -lcrypto -lxxhash -o "$dir/fixed" 2>&1)
[ "$("$dir/fixed" 2>&1)" = "1.2 1" ] || built="$built does not run"
say "the same with the static library" "$built"
exit $status
