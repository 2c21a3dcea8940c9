#!/usr/bin/env bash
# Terminals' tables read back: what the terminals would charge otherwise than the pack is listed with its place.
. "$(dirname "$0")/lib.sh"
p=tariffs/packs/nc-bus
params() { "$B/qingfen" tariff params "$@"; }
bad=""
for pack in tariffs/packs/*; do
	params "$pack" --to "$dir/t.csv" >/dev/null 2>&1 || bad="$bad $pack:written"
	params "$pack" --from "$dir/t.csv" >"$dir/out" 2>&1 || bad="$bad $pack:$(tail -1 "$dir/out")"
done
is "every pack's table is read back as the pack it was written from" "" "$bad"
params $p --to "$dir/t.csv" >/dev/null
told() { # sentence, exit code, pattern, sed script, pack
	sed "$4" "$dir/${6:-t.csv}" >"$dir/c.csv"
	params "${5:-$p}" --from "$dir/c.csv" >"$dir/out" 2>&1; is "$1" "$2 yes" "$? $(grep -qE "$3" "$dir/out" && echo yes || cat "$dir/out")"
}
told "a price that the pack has not is told with line and column" 1 'c.csv:4:[0-9]+: price_fen: the table says "80"; by the pack 70 of 200: 5 student' '4s/,35,70,/,35,80,/'
told "a percentage that the pack has not is told as well" 1 'c.csv:4:[0-9]+: percent: the table says "60"; by the pack 70 of 200' '4s/,35,70,/,60,,/'
told "hours that the terminals got wrong are told with the price at that hour" 1 'c.csv:7:[0-9]+: price_fen: the table says "200"; by the pack 0 of 200: .*elder70.* from 08:30' '7s/07:00-08:30/07:00-09:30/'
told "a line that no terminal has is told" 1 'c.csv: .* prices of line G1 and those like it are in no row' '/,G1,/d'
told "a row of a type that is gone is told with the one that was meant" 3 'c.csv:4:1: type: "studend" is not in the pack; did you mean student\?' '4s/^student/studend/'
told "a percentage that is none is refused with its place" 3 'c.csv:4:[0-9]+: percent: a whole number up to 100 is needed, not "35%"' '4s/,35,70,/,35%,70,/'
told "a limit of rides that the pack does not count is told" 1 'c.csv:4:[0-9]+: limit_day: the table says "4"; .*limit -1' '4s/,70,,,,/,70,,4,,/'
told "a limit of one slot, which no pack has, is told" 1 'c.csv:4:[0-9]+: limit_slot: the table says "2"; .*counts no rides of one slot' '4s/,70,,,,/,70,2,,,/'
printf '\xEF\xBB\xBFtype,percent\r\nordinary,70\r\nstudent,35\r\n' >"$dir/small.csv"
told "a table of type and percent alone is read: of every line and hour" 1 'c.csv:2:[0-9]+: percent: the table says "70"; by the pack 200 of 200: 5 ordinary, card, region' '' $p small.csv
printf 'type,class,guests,percent\n普通乘客,city,local,70\n中小学与职校学生,city,local,35\n' | iconv -t GB18030 >"$dir/small.csv"
params $p --from "$dir/small.csv" >"$dir/out" 2>&1; code=$?
[ $code -eq 1 ] && ! grep -q 'small.csv:[0-9]' "$dir/out" && grep -q 'small.csv: [0-9]* prices of line G1' "$dir/out"; say "one saved by a Chinese spreadsheet, with titles for types, agrees where it says something" $? "$code $(cat "$dir/out")"
printf 'kind,percent\na,1\n' >"$dir/small.csv"
told "a table without types is refused with the columns there may be" 3 'columns type, and percent or price_fen are needed; optional: class, lines' '' $p small.csv
exit $status
