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
told "a limit of one slot that the pack does not count is told" 1 'c.csv:4:[0-9]+: limit_slot: the table says "2"; .*limit -1' '4s/,70,,,,/,70,2,,,/'
printf '\xEF\xBB\xBFtype,percent\r\nordinary,70\r\nstudent,35\r\n' >"$dir/small.csv"
told "a table of type and percent alone is read: of every line and hour" 1 'c.csv:2:[0-9]+: percent: the table says "70"; by the pack 200 of 200: 5 ordinary, card, region' '' $p small.csv
printf 'type,class,guests,percent\n普通乘客,city,local,70\n中小学与职校学生,city,local,35\n' | iconv -t GB18030 >"$dir/small.csv"
params $p --from "$dir/small.csv" >"$dir/out" 2>&1; code=$?
[ $code -eq 1 ] && ! grep -q 'small.csv:[0-9]' "$dir/out" && grep -q 'small.csv: [0-9]* prices of line G1' "$dir/out"; say "one saved by a Chinese spreadsheet, with titles for types, agrees where it says something" $? "$code $(cat "$dir/out")"
printf 'kind,percent\na,1\n' >"$dir/small.csv"
told "a table without types is refused with the columns there may be" 3 'columns type, and percent or price_fen are needed; optional: class, lines' '' $p small.csv

# A first pack written from a table.
bad=""
for pack in tariffs/packs/*; do
	n=$(basename $pack) at=$dir/made/$(basename $pack)
	mkdir -p "$dir/made"; params "$pack" --to "$dir/t.csv" >/dev/null 2>&1
	params --import "$dir/t.csv" --out "$at" >"$dir/out" 2>&1 || bad="$bad $n:made:$(tail -1 "$dir/out")"
	"$B/qingfen" tariff check "$at" >"$dir/out" 2>&1 || bad="$bad $n:check:$(tail -1 "$dir/out")"
	params "$at" --from "$dir/t.csv" >"$dir/out" 2>&1 || bad="$bad $n:from:$(tail -1 "$dir/out")"
done
is "from every pack's table a first pack is written that check accepts and that says what the table says" "" "$bad"
[ "$(grep -ac . "$dir/made/ganzhou/cases.csv")" -gt 300 ]; say "each row of a table becomes a case of the pack" $? "$(head -3 "$dir/made/ganzhou/cases.csv")"

cat >"$dir/vendor.csv" <<'END'
序号,折扣(%),类型代码,类型名称,时段,每时段次数,每日次数,每月次数,线路,票价(分)
1,95,1,普通卡,,,,,1 2 3,200
2,50,2,学生卡,06:00-08:30 16:30-19:00,2,3,100,1、2、3,200
3,80,2,学生卡,08:30-16:30,,,,1 2 3,200
4,100,2,学生卡,19:00-06:00,,,,1 2 3,200
5,0,3,老人卡,09:00-16:30,,,60,1 2 3,200
6,50,3,老人卡,00:00-09:00 16:30-24:00,,,,1 2 3,200
7,100,1,普通卡,,,,,K9,500
8,100,2,学生卡,,,,,K9,500
9,100,3,老人卡,,,,,K9,500
END
v=$dir/vendor; params --import "$v.csv" --out "$v" --date 2026-01-01 >"$dir/out" 2>&1; code=$?
[ $code -eq 0 ] && grep -q '^9 行, 0 处不同' "$dir/out"; say "a maker's table in another order of columns under Chinese headings becomes a pack" $? "$code $(cat "$dir/out")"
[ "$(grep -c '待定 to be settled by you:' "$v/pack.yaml")" -ge 8 ] && grep -q '待定 to be settled by you:$' "$dir/out" && [ "$(grep -c '^  [a-z]*\.[a-z]*: ' "$dir/out")" -ge 9 ]
say "what the table cannot know is listed, and marked where it stands" $? "$(cat "$dir/out")"
rate() { while read -r card class line time; do echo "{\"card\":\"$card\",\"class\":$class,\"line\":\"$line\",\"time\":\"2026-03-02T$time:00\"}"; done | "$B/qingfen" tariff rate "$1" | sed 's/.*"fare_fen":\(-\?[0-9]*\).*/\1/' | tr '\n' ' '; }
is "it rates as the table says, and counts rides of a slot, a day and a month" "190 100 100 190 160 100 190 200 0 100 500 100 " "$(rate "$v" <<'END'
a 1 1 07:00
b 2 1 06:00
b 2 2 07:00
b 2 3 08:29
b 2 1 08:30
b 2 1 16:30
b 2 1 17:30
b 2 1 19:00
c 3 1 09:00
c 3 1 16:30
c 3 K9 10:00
d 2 1 18:59
END
)"
iconv -t GB18030 "$v.csv" >"$dir/gb.csv"; (printf '\xEF\xBB\xBF'; sed 's/$/\r/' "$v.csv") >"$dir/bom.csv"
for x in gb bom; do mkdir -p "$dir/$x"; params --import "$dir/$x.csv" --out "$dir/$x/vendor" --date 2026-01-01 >/dev/null 2>&1; sed -i 1d "$dir/$x/vendor/pack.yaml"; done
sed -i 1d "$v/pack.yaml"; diff -r "$v" "$dir/gb/vendor" >"$dir/out" && diff -r "$v" "$dir/bom/vendor" >>"$dir/out"; say "the same table in GB18030, or in UTF-8 with BOM and CRLF, becomes the same pack" $? "$(cat "$dir/out")"
printf 'type,percent\nordinary,90\n2,50\n' >"$dir/small.csv"; params --import "$dir/small.csv" --out "$dir/small" >"$dir/out" 2>&1; code=$?
is "of type and percent alone a pack is made that reduces what the terminal showed" "0 180 100 " "$code $(printf '%s\n' 'a 1 7 08:00' 'b 2 7 08:00' | while read -r card class line time; do echo "{\"card\":\"$card\",\"class\":$class,\"line\":\"$line\",\"list_fen\":200,\"time\":\"2030-03-04T$time:00\"}"; done | "$B/qingfen" tariff rate "$dir/small" | sed 's/.*"fare_fen":\(-\?[0-9]*\).*/\1/' | tr '\n' ' ')"
touch -d 2001-01-01 "$dir/small/pack.yaml"; params --import "$dir/small.csv" --out "$dir/small" >"$dir/out" 2>&1; code=$?
is "a directory that is there is left as it is" "9 2001" "$code $(date -r "$dir/small/pack.yaml" +%Y)"
refused() { # sentence, pattern, sed script
	sed "$3" "$v.csv" >"$dir/c.csv"; params --import "$dir/c.csv" --out "$dir/none" >"$dir/out" 2>&1
	is "$1" "3 yes no" "$? $(grep -qE "$2" "$dir/out" && echo yes || cat "$dir/out") $([ -e "$dir/none" ] && echo written || echo no)"
}
refused "a type code that no card has is refused with its place" 'c.csv:6:5: type: "9" is no card class' '6s/^5,0,3/5,0,9/'
refused "a percentage above a hundred is refused" 'c.csv:2:3: percent: a whole number from 0 to 100 is needed, not "105"' '2s/,95,/,105,/'
refused "limits that do not rise are refused" 'c.csv:3:[0-9]+: limit_day: 1 is less than the 2 before it' '3s/,2,3,100/,2,1,100/'
refused "rides of a slot without a slot are refused" 'c.csv:2:[0-9]+: limit_slot: .*the row has no hours' '2s/普通卡,,,/普通卡,,2,/'
refused "hours of one row that overlap are refused" 'c.csv:3:[0-9]+: hours: 08:00-19:00 overlaps 06:00-08:30 of the same row' '3s/16:30-19/08:00-19/'
refused "rows that overlap are refused with both lines" 'c.csv:4:[0-9]+: hours: overlaps line 3, which is about 学生卡 on line 1' '4s/08:30-16:30/08:00-16:30/'
refused "two published fares of one ride are refused" 'c.csv:6:[0-9]+: published_fen: 300, and another row says 200' '6s/,200$/,300/'
refused "a column that nobody knows is refused" 'c.csv:1:1: unknown column "号码"' '1s/序号/号码/'
refused "a table of another kind is refused with the columns there may be" 'c.csv:1:1: no terminals. table: columns type, and percent or price_fen are needed' '1s/类型代码/note/'
refused "a medium that is none is refused with those there are" 'c.csv:2:1: media: "公交卡片" is none of card' '1s/序号/介质/;2s/^1/公交卡片/;3,$s/^[0-9]*//'
refused "prices that no rounding gives are refused" 'c.csv:3:[0-9]+: percent: 50 percent of 200 is not 90' '1s/序号/price_fen/;2s/^1/190/;3s/^2/90/;4,$s/^[0-9]*//'
exit $status
