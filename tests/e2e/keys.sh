#!/usr/bin/env bash
# The published vectors through the command line, and keyrings that refuse to be opened wrongly.
. "$(dirname "$0")/lib.sh"
q() { "$B/qingfen" "$@" 2>&1; }
common="--terminal 001122334455 --serial 00000001 --time 20120229135100 --amount 4096"
is "the published MAC1 comes back" F15CAB75 "$(q keys mac1 --alg 3des --key 11223344556677888877665544332211 $common --type 06 --random 11223344 --counter 0000)"
is "the published MAC2 comes back" 56988A13 "$(q keys mac2 --alg 3des --key 11223344556677888877665544332211 $common --type 06 --random 11223344 --counter 0000)"
is "the TAC of type 09 comes back" 3C07F9C0 "$(q keys tac --alg 3des --key 00112233445566778899AABBCCDDEEFF $common --type 09)"
is "root to issuer to card derives the purchase key" BE73F90E665E20908DB183619756C9CE \
	"$(q keys derive --alg 3des --root 0123456789ABCDEFFEDCBA9876543210 --factor 02184280FFFFFFFF --factor 4730100000000017)"
is "the SM4 derivation comes back" 61539FF830ED9F1B1EEF0532E1DA810C "$(q keys derive --alg sm4 --root 0123456789ABCDEFFEDCBA9876543210 --factor 1047301000000001)"
card="--terminal 428000000017 --serial 0000ABCD --time 20250308071530 --amount 0x8C --type 09"
is "root to issuer is the issuer's key" E0A972CA170B5E2D79922A3DC6D0DF3B "$(q keys derive --alg 3des --root 0123456789ABCDEFFEDCBA9876543210 --factor 02184280FFFFFFFF)"
is "card before issuer is another key" A146845D73E181948F5410EACBE634FA \
	"$(q keys derive --alg 3des --root 0123456789ABCDEFFEDCBA9876543210 --factor 4730100000000017 --factor 02184280FFFFFFFF)"
is "the TAC root gives the card's TAC key" 3B60BE32A72E38AA38D58A1C5A98EC05 \
	"$(q keys derive --alg 3des --root 404142434445464748494A4B4C4D4E4F --factor 02184280FFFFFFFF --factor 4730100000000017)"
is "the codes of the whole example come back" "5B3353FE 4E5CAB48 8FE775D7" \
	"$(q keys mac1 --alg 3des --key BE73F90E665E20908DB183619756C9CE $card --random A1B2C3D4 --counter 0123) $(
	q keys mac2 --alg 3des --key BE73F90E665E20908DB183619756C9CE $card --random A1B2C3D4 --counter 0123) $(
	q keys tac --alg 3des --key 3B60BE32A72E38AA38D58A1C5A98EC05 $card)"
is "the TACs of types 06 and 01 come back" "B3A0D49C E2FE610B" \
	"$(q keys tac --alg 3des --key 00112233445566778899AABBCCDDEEFF $common --type 06) $(q keys tac --alg 3des --key 00112233445566778899AABBCCDDEEFF $common --type 01)"
q keys derive --alg des --root 00 --factor 00 >/dev/null; is "an unknown algorithm is a usage error" 2 $?
q keys tac --alg 3des --key 00112233445566778899AABBCCDDEEFF --terminal 001122334455 --serial 00000001 --time 20120230135100 --amount 1 --type 06 >/dev/null
is "a date that does not exist is refused" 2 $?
echo secret >"$dir/pass"; echo wrong >"$dir/wrong"; echo 404142434445464748494A4B4C4D4E4F >"$dir/root"
q keys ring create --ring "$dir/ring" --passphrase-file "$dir/pass" && q keys ring add --ring "$dir/ring" --passphrase-file "$dir/pass" --purpose tac --alg 3des --issuer 02184280 --version 1 --root-file "$dir/root"
is "a keyring lists its keys by check value, never by value" "tac       3des  issuer 02184280 version 1 check value 8BAF47  index 0  - to -  active test" "$(q keys ring list --ring "$dir/ring" --passphrase-file "$dir/pass")"
q keys ring list --ring "$dir/ring" --passphrase-file "$dir/wrong" >/dev/null; is "a wrong passphrase is refused" 1 $?
is "a keyring is for its owner's eyes" 600 "$(stat -c %a "$dir/ring")"
size=$(stat -c %s "$dir/ring") bad=0
for at in 0 5 11 13 30 41 50 $((size - 1)); do
	cp "$dir/ring" "$dir/flipped"
	byte=$(od -An -tu1 -j$at -N1 "$dir/ring"); printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$dir/flipped" bs=1 seek=$at conv=notrunc 2>/dev/null
	timeout 20 "$B/qingfen" keys ring list --ring "$dir/flipped" --passphrase-file "$dir/pass" >/dev/null 2>&1 && bad=$((bad + 1))
done
is "a keyring with one bit changed is refused" 0 $bad
card='{"15":"00083010FFFFFFFF0201031048300100064125072022030120491231 0000","17":"00000156584058400001010000","18":["042D000000000001F40930008900034020241229141740","00"]}'
answer=$(tr -d ' ' <<<"$card" | "$B/qingfen" card parse); code=$?
grep -q '"pan":"3104830010006412507".*"card_class_name":"ordinary".*"amount_fen":500.*"time":"2024-12-29T14:17:40+08:00".*"errors":\[{"file":"18","index":1,"reason":"23 bytes are needed"}\]' <<<"$answer" && [ $code -eq 1 ]
say "a real card's files parse, and a bad record is named without hiding the rest" $? "$answer"
zeros=$(printf '0%.0s' $(seq 150))
journey=27027D0101000000000000000000014280''12184280FFFFFFFF''00650012034231323334352020''0000428000000017''20251103071530''000000C8$zeros
journey=${journey:0:256}; while [ ${#journey} -lt 256 ]; do journey+=0; done
answer=$("$B/qingfen" card parse <<<'{"fci":"6F318408A000000632010105A5259F0801029F0C1E02184280FFFFFFFF02010310473015000000001720240101203912310114",
 "ssse":["0110360700D1560000051234567890ABCDEF",null,"0304332E3030",null,"050420230101","060420330230"],"1A":["'"$journey"'"],"19":["A1B2"]}'); code=$?
grep -q '"fci":{"aid":"A000000632010105","application":"t-union-purse","version":2,' <<<"$answer"; say "the answer to SELECT is read by its tags" $? "$answer"
grep -q '"kind":"bus".*"state_name":"boarded","boarding":{"city":"4280",.*"vehicle":"B12345","time":"2025-11-03T07:15:30+08:00"}.*"unfinished_fen":200' <<<"$answer"
say "a journey in progress is read with what it owes if it stays unfinished" $? "$answer"
grep -q '"region":"360700".*"generation":3.*"issued":"2023-01-01"' <<<"$answer" && grep -q '{"file":"ssse","index":5,"reason":"expiry is not a date"}' <<<"$answer" && [ $code -eq 1 ]
say "the public part of a social security card is read, and a date that does not exist is named" $? "$answer"
answer=$("$B/qingfen" card parse <<<'{"fci":"6F308408A000000632010105A5259F0801029F0C1E02184280FFFFFFFF02010310473015000000001720240101203912310114"}'); [ $? -eq 1 ] && grep -q '"reason":"an object runs past the end' <<<"$answer"
say "an answer whose lengths do not fit is refused" $? "$answer"
name=$(printf '张三' | iconv -t GBK | od -An -tx1 | tr -d " \n" | tr a-f A-F); answer=$("$B/qingfen" card parse <<<'{"16":"0100'$name$(printf '20%.0s' $(seq 16))$(printf '33%.0s' $(seq 18))$(printf '20%.0s' $(seq 14))'00"}')
grep -q '"name_present":true,"document_present":true' <<<"$answer" && ! grep -q "3333\|$name" <<<"$answer"; say "a holder's name and document are never printed" $? "$answer"
answer=$("$B/qingfen" card parse <<<'{"1B":"00"}' 2>&1); [ $? -eq 2 ] && grep -q 'unknown file "1B", did you mean "1[0-9A-E]"' <<<"$answer"; say "an unknown file is refused with a suggestion" $? "$answer"
exit $status
