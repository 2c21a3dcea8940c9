#!/usr/bin/env bash
# Folders depend one way: keys, tariffs -> validator -> clearing -> tools, tests. A folder is used
# through its one public header. The core decides and does nothing else.
set -u
cd "${1:-$(dirname "$0")/..}" || exit 1
status=0
say() { if [ -z "$2" ]; then echo "ok - $1"; else echo "not ok - $1"; echo "$2"; status=1; fi; }
# files of folder $1 that include a header of a folder in $2, or a private header of one in $3
uses() { grep -nE "^#include \"($2)/" "$1"/*.[ch] "$1"/*/*.[ch] 2>/dev/null; }
private() { grep -nE "^#include \"($2)/" "$1"/*.[ch] "$1"/*/*.[ch] 2>/dev/null | grep -vE '"(keys/keys|keys/octets|tariffs/tariffs|validator/validator|clearing/clearing|clearing/core/core|tools/tools)\.h"'; }
say "keys uses nothing of ours" "$(uses keys 'tariffs|validator|clearing|tools|tests')"
say "tariffs uses nothing of ours" "$(uses tariffs 'keys|validator|clearing|tools|tests')"
say "validator uses only keys and tariffs" "$(uses validator 'clearing|tools|tests')"
say "clearing uses only keys, tariffs and validator" "$(uses clearing 'tools|tests')"
say "validator sees only public headers of keys and tariffs" "$(private validator 'keys|tariffs')"
say "clearing sees only public headers of the folders below" "$(private clearing 'keys|tariffs|validator')"
say "tools see only public headers" "$(private tools 'keys|tariffs|validator|clearing')"
say "the core includes no I/O, clock, store, network or cryptography" "$(grep -nE '^#include <(event2/|lmdb|curl/|openssl/|stdio|time|sys/|unistd|pthread)' clearing/core/*.[ch])"
say "the core allocates nothing" "$(grep -nE '\b(malloc|calloc|realloc|free|strdup)\(' clearing/core/*.c)"
say "LMDB's unsafe modes appear nowhere" "$(grep -nE 'MDB_(NOSYNC|NOMETASYNC|MAPASYNC|WRITEMAP)' -r keys tariffs validator clearing tools --include=*.[ch])"
say "every floating point fare is refused: no double or float in tariffs and core" "$(grep -nE '\b(double|float)\b' tariffs/*.[ch] clearing/core/*.[ch] | grep -v '^[^:]*:[0-9]*:[[:space:]]*\*')"
exit $status
