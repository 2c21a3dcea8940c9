#!/usr/bin/env bash
# Manual pages: lint-clean, and they name every option the programs have.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0
say() { if [ -z "$2" ]; then echo "ok - $1"; else echo "not ok - $1"; echo "$2"; status=1; fi; }
say "manual pages pass mandoc -Tlint" "$(mandoc -Tlint -Wwarning docs/*.[1358] 2>&1)"
missing=""
for o in $("${B:-bin}/clearingd" --options | cut -f1); do grep -q "^\.It Ic $o\$" docs/clearing.conf.5 || missing="$missing $o"; done
say "clearing.conf(5) names every option" "$missing"
missing=""
for v in $("${B:-bin}/qingfen" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do grep -q "^\.It Ic $v\b" docs/qingfen.1 || missing="$missing $v"; done
say "qingfen(1) names every verb" "$missing"
missing=""
while read -r number name; do grep -q "^| $number | $name |" docs/verdicts.md || missing="$missing $number:$name"; done < <(
	sed -n 's/^\tVERDICT_\([A-Z_]*\) = \([0-9]*\),.*/\2 \1/p' clearing/core/core.h | while read -r n v; do
		echo "$n $(sed -n "s/.*\[VERDICT_$v\] = { \"\([^\"]*\)\".*/\1/p" clearing/core/verdict.c)"; done)
say "docs/verdicts.md has every verdict with its number" "$missing"
missing=""
for f in $(sed -n 's/.*`\([a-z-]*\.\(md\|[1358]\)\)`.*/\1/p' docs/architecture.md) $(grep -o '`[a-z-]*\.\(md\|[1358]\)`' docs/architecture.md | tr -d '`'); do [ -f "docs/$f" ] || missing="$missing $f"; done
for f in $(grep -oE '`(clearing|validator|keys|tariffs)/[a-z_/]*\.[ch]`' docs/architecture.md | tr -d '`'); do [ -f "$f" ] || missing="$missing $f"; done
say "the map names only what exists" "$missing"
format=$(sed -n 's/^#define STORE_FORMAT \([0-9]*\).*/\1/p' clearing/store.c) missing=""
[ -n "$format" ] && grep -q "format version $format in" docs/store.md || missing=" $format"
say "docs/store.md says which format a store has" "$missing"
missing=""
for f in $(grep -o '\bqfv_[a-z_]*(' validator/qfval.h | tr -d '(' | sort -u); do grep -q "^\.Fn $f\b" docs/libqfval.3 || missing="$missing $f"; done
say "libqfval(3) names every function of the header" "$missing"
exit $status
