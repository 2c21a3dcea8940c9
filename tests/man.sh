#!/usr/bin/env bash
# Manual pages: lint-clean, and they name every option the programs have.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0
say() { if [ -z "$2" ]; then echo "ok - $1"; else echo "not ok - $1"; echo "$2"; status=1; fi; }
say "manual pages pass mandoc -Tlint" "$(mandoc -Tlint -Wwarning docs/*.[158] 2>&1)"
missing=""
for o in $("${B:-bin}/clearingd" --options | cut -f1); do grep -q "^\.It Ic $o\$" docs/clearing.conf.5 || missing="$missing $o"; done
say "clearing.conf(5) names every option" "$missing"
missing=""
for v in $("${B:-bin}/qingfen" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do grep -q "^\.It Ic $v\b" docs/qingfen.1 || missing="$missing $v"; done
say "qingfen(1) names every verb" "$missing"
exit $status
