#!/usr/bin/env bash
# Packs with mistakes: each mistake is named with file, line, column and what to do.
. "$(dirname "$0")/lib.sh"
fresh() { rm -rf "$dir/pack"; cp -r tariffs/packs/ganzhou "$dir/pack"; }
refused() { # sentence, pattern
	local answer code
	answer=$("$B/qingfen" tariff check "$dir/pack" 2>&1); code=$?
	[ $code -eq 3 ] && grep -qE "$2" <<<"$answer"; say "$1" $? "exit $code: $answer"
}
for p in ganzhou shenzhen; do "$B/qingfen" tariff check tariffs/packs/$p >"$dir/out" 2>&1; say "the $p pack and all its cases pass" $? "$(cat "$dir/out")"; done
fresh; sed -i 's/^    price: 90%/    prize: 90%/' "$dir/pack/rules.yaml"
refused "a misspelt key is refused with a suggestion" 'rules.yaml:[0-9]+:5: unknown key "prize", did you mean "price"'
fresh; sed -i 's/^stacking: cheapest/stacking: unique/' "$dir/pack/pack.yaml"; sed -i '0,/precedence: 10/s//precedence: 0/' "$dir/pack/rules.yaml"
refused "two rules of equal precedence that can meet are refused" 'rules.yaml:[0-9]+:[0-9]+: .* and .* have equal precedence and can apply to one ride'
fresh; sed -i '0,/    basis: .*/s//    basis:/' "$dir/pack/rules.yaml"
refused "a rule without its document is refused" 'rules.yaml:[0-9]+:[0-9]+: basis: a text is needed'
fresh; sed -i 's/who: \[pupil\]/who: [pupils]/' "$dir/pack/rules.yaml"
refused "a group that does not exist is refused" 'who: no group is called "pupils"'
refused "and the group that was meant is named" 'who: no group is called "pupils"; did you mean pupil$'
fresh; sed -i 's/who: \[pupil\]/who: [scholar]/' "$dir/pack/rules.yaml"
refused "a group that is far from every name is answered with all the names" 'who: no group is called "scholar"; there is: .*elder65.*pupil'
fresh; sed -i 's/^    fund: full-gap/    fund: treasury/' "$dir/pack/rules.yaml"
refused "a funding that does not exist is answered with those there are" 'fund: no funding is called "treasury"; there is: .*full-gap'
fresh; sed -i 's/mode: half-up/mode: nearest/' "$dir/pack/pack.yaml"
refused "a word that is not known is answered with all the words" 'mode: "nearest" is not one of its words; there is: half-up, half-down, half-even, floor, ceil$'
fresh; sed -i '0,/^    price: free/s//    shut: ["07:30-09:00"]\n    shut_price: ordinery\n&/' "$dir/pack/rules.yaml"
refused "a fallback that does not exist is answered with the one that was meant" 'shut_price: published, other .* or the id of a concession is needed; did you mean ordinary$'
fresh; sed -i 's/, lapsed: ordinary//' "$dir/pack/groups.yaml"
refused "a yearly check without its fallback is refused" 'groups.yaml:[0-9]+:[0-9]+: "lapsed" is missing'
fresh; sed -i 's/^18,18路,gz-bus,flat1/18,18路,gz-bus,/' "$dir/pack/lines.csv"
refused "a line without a class is refused with its column" 'lines.csv:[0-9]+:[0-9]+: a line needs a class'
fresh; sed -i 's/^18,.*/&,extra/' "$dir/pack/lines.csv"
refused "a row wider than the header is refused" 'lines.csv:[0-9]+:1: more fields than the header'
fresh; printf 'x: &a 1\n' >>"$dir/pack/pack.yaml"
refused "an anchor is refused" 'pack.yaml:[0-9]+:[0-9]+: anchors and tags are not allowed'
fresh; printf 'title: again\n' >>"$dir/pack/pack.yaml"
refused "a key given twice is refused" 'pack.yaml:[0-9]+:1: duplicate key: title'
fresh; sed -i 's/,90,0,10,no,一元线 9 折/,91,0,9,no,一元线/' "$dir/pack/cases.csv"
refused "a pack whose own case fails is refused" 'cases.csv:2:[0-9]+: case ordinary: expected fare 91'
fresh; sed -i 's/^    class: \[flat2\]/    class: [flat3]/; s/^    who: \[staff\]/    who: [stuff]/' "$dir/pack/rules.yaml"
answer=$("$B/qingfen" tariff check "$dir/pack" 2>&1); [ "$(grep -c 'rules.yaml' <<<"$answer")" -ge 2 ]; say "every mistake is reported in one run" $? "$answer"
fresh; sed -i '/^2025-/d; /^2026-/d' "$dir/pack/calendar.csv"; sed -i 's/^    price: free\n    fund: full-gap/X/; 0,/    who: \[elder65\]/s//    who: [elder65]\n    shut: ["07:00-08:30"]\n    shut_days: workday\n    shut_price: other/' "$dir/pack/rules.yaml"
refused "a missing holiday year is refused when a rule asks for workdays" 'the holidays of 2025 are missing'
fresh; cat >>"$dir/pack/pack.yaml" <<'Y'
concessions:
  - {id: all-free, title: 全员免费, basis: 试验, precedence: 99, from: 2020-01-01, price: free, fund: full-gap}
Y
refused "a rule that another one always outranks is refused" 'rules.yaml:[0-9]+:[0-9]+: ".*" can never apply: "all-free" \(line [0-9]+\) has a higher precedence'
differ() { fresh; printf 'differences:\n%s\n' "$1" >>"$dir/pack/pack.yaml"; }
differ '  - {id: d, title: 取整, basis: 例, reason: [roundin], owed: absorb}'
refused "a reason of a difference that is not known is answered with the one that was meant" 'pack.yaml:[0-9]+:[0-9]+: reason: "roundin" is not known; did you mean rounding$'
differ '  - {id: d, title: 取整, basis: 例, reason: [rounding], owed: absorb, refund_from_fen: 5}'
refused "what is absorbed has no amount to refund from" 'pack.yaml:[0-9]+:[0-9]+: refund_from_fen: nothing is refunded where owed is absorb'
differ $'  - {id: d, title: 取整, basis: 例, reason: [rounding]}\n  - {id: e, title: 又, basis: 例, reason: [guest, rounding]}'
refused "a reason with two policies is refused with both places" 'pack.yaml:[0-9]+:[0-9]+: reason: rounding has its policy in "d" already \(pack.yaml:[0-9]+\)'
stops() { printf 'line,stop,m,zone\n18,1,0,%s\n18,2,%s,1\n' "$1" "$2" >"$dir/pack/stops.csv"; }
fresh; stops 1 400; sed -i '$s/^18,2/18,1/' "$dir/pack/stops.csv"; refused "a stop that stands twice is refused" 'stops.csv:3:4: the stops of a line rise'
fresh; stops "" 400; refused "a stop without a zone among stops with one is refused" 'stops.csv:3:10: each stop of a line has a zone, or none has'
fresh; printf 'line,stop,m\n18,1,9\n18,2,8\n' >"$dir/pack/stops.csv"; refused "a stop nearer than the one before it is refused" 'stops.csv:3:6: metres from the first stop do not fall'
fresh; printf 'line,stop,m\nX9,1,9\n' >"$dir/pack/stops.csv"; refused "a stop of no line is refused" 'stops.csv:2:1: lines.csv has no such line'
fresh; sed -i '0,/^\([^,]*,[0-9]*,[0-9]*\),[0-9]*$/{//d}' "$dir/pack/sections.csv"
refused "a pair of stops without a fare is refused" 'sections.csv:[0-9]+:1: line ".*": no fare from stop [0-9]+ to stop [0-9]+'
rm -rf "$dir/pack"; cp -r tariffs/packs/bj-bus "$dir/pack"; sed -i 's/^  - {id: distance,/&  season: [warm],/; s/^fares:/seasons: [{name: warm, dates: [03-01..10-31]}]\n&/' "$dir/pack/pack.yaml"
refused "a season without a published fare is refused" 'lines.csv:[0-9]+:1: line ".*": no published fare on a workday like 201[45]-[0-9-]+ from 00:00'
fresh; sed -i 's/^groups:/&\n  - {name: with, title: 陪护, code: 60, source: 残联, escrot: 5}/' "$dir/pack/groups.yaml"
refused "a misspelt escort is refused with a suggestion" 'groups.yaml:2:[0-9]+: .*"escrot".*did you mean "escort"'
fresh; sed -i 's/^groups:/&\n  - {name: with, title: 陪护, code: 60, source: 残联, hold: yes, escort: 5, all: yes}/' "$dir/pack/groups.yaml"
refused "a group that asks an escort's card for a hold is refused" 'groups.yaml:2:[0-9]+: nobody can be in this group: holds and age are the person.s'
quotas() { # the names of a concession's quota
	fresh; printf 'quotas:\n' >>"$dir/pack/rules.yaml"
	for q in one two three four; do printf '  - {id: %s, title: 次, basis: 试, limit: 3, per: day}\n' $q >>"$dir/pack/rules.yaml"; done
	sed -i "0,/^    price: free/s//    quota: [$1]\n    quota_empty: other\n&/" "$dir/pack/rules.yaml"
}
quotas "one, two, three"; "$B/qingfen" tariff check "$dir/pack" >"$dir/out" 2>&1; say "a concession takes from three quotas" $? "$(cat "$dir/out")"
quotas "one, two, one"; refused "a quota named twice is refused" 'rules.yaml:[0-9]+:[0-9]+: quota: "one" twice'
quotas "one, two, three, four"; refused "a fourth quota is refused" 'rules.yaml:[0-9]+:[0-9]+: quota: more than 3'
quotas "one, tow"; refused "a quota that does not exist is refused with the one that was meant" 'rules.yaml:[0-9]+:[0-9]+: quota: no quota is called "tow"; did you mean two'
fresh; echo 'quotas: [{id: odd, title: 次, basis: 试, limit: 3, per: month, of: card, fare_day_cut: "04:30"}]' >>"$dir/pack/rules.yaml"
refused "a fare day for an account that is not of a day is refused" 'rules.yaml:[0-9]+:[0-9]+: fare_day_cut: only accounts per: day'
fresh; echo 'quotas: [{id: odd, title: 次, basis: 试, limit: 3, per: day, of: card, fare_day_cut: "14:30"}]' >>"$dir/pack/rules.yaml"
refused "a fare day that begins in the afternoon is refused" 'rules.yaml:[0-9]+:[0-9]+: fare_day_cut: a time from 00:00 to 12:59'
fresh; "$B/qingfen" tariff compile "$dir/pack" --to "$dir/utf8.blob" >"$dir/out" 2>&1
for f in lines operators calendar cases; do iconv -f UTF-8 -t GB18030 "tariffs/packs/ganzhou/$f.csv" | sed 's/$/\r/' >"$dir/pack/$f.csv"; done
"$B/qingfen" tariff check "$dir/pack" >"$dir/out" 2>&1 && "$B/qingfen" tariff compile "$dir/pack" --to "$dir/gb.blob" >>"$dir/out" 2>&1 && cmp "$dir/utf8.blob" "$dir/gb.blob"
say "tables saved by a Chinese spreadsheet in GB18030 compile to the same bytes" $? "$(cat "$dir/out")"
fresh; printf 'X\377,x,gz-bus,flat1,bus,flat:100,a,,\n' >>"$dir/pack/lines.csv"
refused "a table that is neither UTF-8 nor GB18030 is refused with its line" "lines.csv:$(wc -l <"$dir/pack/lines.csv"):1: neither UTF-8 nor GB18030"
rate() { "$B/qingfen" tariff rate tariffs/packs/ganzhou <<<"$1"; }
is "rate prints fare, subsidy, operator part and funders" '"fare_fen":50,"paid_fen":50,"subsidy_fen":40,"absorbed_fen":10' \
	"$(rate '{"card":"a","time":"2025-11-03T08:00:00","line":"18","holds":["pupil"]}' | grep -o '"fare_fen":[0-9]*,"paid_fen":[0-9]*,"subsidy_fen":[0-9]*,"absorbed_fen":[0-9]*')"
is "rate keeps a card's rides in mind" "90 130" "$(printf '%s\n' '{"card":"a","time":"2025-11-03T08:00:00","line":"18","vehicle":"V1"}' \
	'{"card":"a","time":"2025-11-03T08:40:00","line":"101","vehicle":"V2"}' | "$B/qingfen" tariff rate tariffs/packs/ganzhou | grep -o '"fare_fen":[0-9]*' | cut -d: -f2 | tr '\n' ' ' | sed 's/ $//')"
is "a refused tap names the rule that refused it" '"rejected":true,"reason":"repeat-tap" "rules":[{"id":"lock"' \
	"$(printf '%s\n' '{"card":"a","time":"2025-11-03T08:00:00","line":"18","vehicle":"V1","class":5}' '{"card":"a","time":"2025-11-03T08:01:00","line":"18","vehicle":"V1","class":5}' |
		"$B/qingfen" tariff rate tariffs/packs/ganzhou | tail -1 | grep -oE '"rejected":true,"reason":"[a-z-]*"|"rules":.."id":"[a-z-]*"' | tr '\n' ' ' | sed 's/ $//')"
answer=$(rate '{"card":"a","time":"2025-13-03","line":"18"}' 2>&1); [ $? -eq 2 ] && grep -q '(stdin):1:1: time' <<<"$answer"; say "a tap without a time is refused with its line" $? "$answer"
exit $status
