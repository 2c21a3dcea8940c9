#!/usr/bin/env bash
# The specification of the rules, one folder a rule: a pack, taps in plain text with the rule and the sum by hand above
# them, and what every tap costs whom.
. "$(dirname "$0")/lib.sh"
golden=tests/golden
is "twenty rules or more are specified" yes "$([ "$(ls -d $golden/*/ | wc -l)" -ge 20 ] && echo yes)"
python3 $golden/rate.py "$B/qingfen" $golden/*/ || status=1
# What the test is worth: a rule that is a fen off is noticed.
cp -r $golden/order-rate-first "$dir/off"; sed -i 's/minus_fen: 50/minus_fen: 51/' "$dir/off/pack/pack.yaml"
answer=$(python3 $golden/rate.py "$B/qingfen" "$dir/off"); [ $? -eq 1 ] && [ "$(grep -c '^+2025' <<<"$answer")" = 1 ]
say "a rule that is a fen off is noticed, on the one tap it is about" $? "$answer"
exit $status
