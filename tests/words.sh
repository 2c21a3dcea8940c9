#!/usr/bin/env bash
# The vocabulary of packs is frozen: a pack written today is read by every later release, and the vehicle has no word the
# office lacks. A word added on purpose is added to docs/tariff-words.txt and to tariff(5) with it.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0
say() { if [ -z "$2" ]; then echo "ok - $1"; else echo "not ok - $1"; echo "$2"; status=1; fi; }
# Keys: what the functions of pack.h are asked for. Words: the arrays they choose from.
keys=$(cat tariffs/pack*.c | tr '\n' ' ' | sed -E 's/(str[a-z]*|entry_close)\(/[/g; s/(slots_read\([a-z&.>-]+, "[a-z_]+"), /\1 (f, /g' | grep -oE '\(&?[a-z.>-]+, "[a-z_0-9]+"' | grep -oE '"[^"]+"' | tr -d '"' | sort -u)
words=$(cat tariffs/pack*.c | tr '\n' ' ' | grep -oE 'const char \*const [a-z_]+\[[A-Z_]*\] = \{[^}]*\}' | grep -oE '"[a-z][a-z_-]*"' | tr -d '"' | sort -u)
list() { sed -n "s/^$1 //p" docs/tariff-words.txt | sort -u; }
say "every key a pack may have is one of the frozen vocabulary, and none is gone" "$(diff <(list key) <(echo "$keys"))"
say "every word a key may have is one of the frozen vocabulary, and none is gone" "$(diff <(list word) <(echo "$words"))"
missing=""
for w in $keys $words; do grep -qE "(^|[ ,{(\"-])$w\b" docs/tariff.5 || missing="$missing $w"; done
say "tariff(5) names every key and every word" "$missing"
say "the vocabulary is a real one: more than a hundred keys" "$([ "$(list key | wc -l)" -gt 100 ] || list key)"
exit $status
