#!/usr/bin/env bash
# Case files of others, read by a pack's reading.yaml: their words for riders, cities and media, and counts that lapse.
. "$(dirname "$0")/lib.sh"
cases() { printf 'case_id,policy_source,policy_text,tap_sequence_json,expected_json,note\n'; }
row() { printf '%s,made up,,"%s","%s",[%s]\n' "$1" "${3//\"/\"\"}" "${4//\"/\"\"}" "$2"; } # case, policy, taps, expected
fen() { printf '{"fare":%s,"subsidy":%s,"absorbed":%s}' "$1" "$2" "$3"; }
says() { # sentence, policy, taps, expected fares
	{ cases; row a "$2" "$3" "{\"taps\":[$4]}"; } >"$dir/cases.csv"
	"$B/qingfen" tariff rate --cases "$dir/cases.csv" tariffs/packs >"$dir/out" 2>&1; say "$1" $? "$(cat "$dir/out")"
}
says "counts that lie on a card lapse with the month of its first tap" CD-COUNT \
	'{"card":{"counts":10},"lines":{"B":{"base":200}},"taps":[{"t":"2024-06-30T20:00:00","line":"B","veh":"V1"},{"t":"2024-07-01T08:00:00","line":"B","veh":"V2"}]}' \
	"$(fen 100 0 100),$(fen 180 0 20)"
says "a card that names its age band is a senior's without a birth date" BX \
	'{"card":{"product":"senior70"},"lines":{"15":{"base":150}},"taps":[{"t":"2024-05-06T10:00:00","line":"15"}]}' "$(fen 0 150 0)"
says "a birth date alone tells the age band" TJ \
	'{"card":{"birth":"1954-05-07"},"lines":{"M":{"base":500,"mode":"metro"}},"taps":[{"t":"2024-05-06T08:00:00","line":"M"},{"t":"2024-05-07T08:00:00","line":"M"}]}' \
	"$(fen 400 50 50),$(fen 350 100 50)"
for city in lanzhou:170:30 beijing:200:0; do
	IFS=: read -r name fare absorbed <<<"$city"
	says "a card of $name pays $fare fen in Lanzhou" LZ \
		"{\"card\":{\"product\":\"ordinary\",\"city\":\"$name\"},\"lines\":{\"F\":{\"kind\":\"flat\"}},\"taps\":[{\"t\":\"2024-05-06T10:00:00\",\"line\":\"F\"}]}" "$(fen "$fare" 0 "$absorbed")"
done
says "a disabled hold of grade 4 is a love card" CQ \
	'{"card":{"holds":[{"cat":"disabled","grade":4}]},"lines":{"149":{"base":200}},"taps":[{"t":"2014-05-06T08:00:00","line":"149"}]}' "$(fen 100 80 20)"
says "a cash product is a single ticket" NHAI \
	'{"card":{"product":"cash"},"lines":{"B":{"base":200}},"taps":[{"t":"2011-04-06T08:00:00","line":"B"}]}' "$(fen 200 0 0)"
cp -r tariffs/packs/cd-count "$dir/pack"
sed -i '/^transfers:/,/^locks:/{/^locks:/!d}; s/^order: .*/order: [concession]/' "$dir/pack/pack.yaml"
answer=$("$B/qingfen" tariff check "$dir/pack" 2>&1); code=$?
[ $code -eq 3 ] && grep -q 'pack.yaml:[0-9]*:[0-9]*: .*window is that of a transfer' <<<"$answer"; say "a lock of the window without a transfer is refused" $? "exit $code: $answer"
exit $status
