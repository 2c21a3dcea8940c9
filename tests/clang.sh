#!/usr/bin/env bash
# The other compiler sees no warning either.
set -u
cd "$(dirname "$0")/.." || exit 1
[ -z "${SAN:-}" ] || { echo "ok - clang compiles everything without a warning # SKIP in a sanitizer run"; exit 0; }
other=clang; [ "$(basename "${CC:-gcc}")" = clang ] && other=gcc
out=$(git ls-files -co --exclude-standard '*.c' | grep -vE '^tests/fuzz/fuzz_' | xargs -P2 -n8 $other -std=c17 -D_GNU_SOURCE -I. -Ivalidator $(pkg-config --cflags libpcsclite p11-kit-1) -fsyntax-only -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum -Wshadow -Wvla -Wno-missing-field-initializers 2>&1)
if [ $? -eq 0 ]; then echo "ok - $other compiles everything without a warning"; else echo "not ok - $other compiles everything without a warning"; echo "$out" | head -40; exit 1; fi
