#!/usr/bin/env bash
# A key comes into a ring by two custodians' components, is used after its known answer, and leaves no trace but minutes.
. "$(dirname "$0")/lib.sh"
q() { "$B/qingfen" "$@"; }
echo secret >"$dir/pass"; q keys ring create --ring "$dir/ring" --passphrase-file "$dir/pass"
echo name,title,key >"$dir/persons.csv"
for who in 张三 李四 王五; do q tariff person $who --to "$dir/$who.key" | tail -1 >>"$dir/persons.csv"; done
ring="--ring $dir/ring --passphrase-file $dir/pass"
name="--purpose tac --alg 3des --issuer 02184280 --version 2"
rest="--persons $dir/persons.csv --date 2026-01-05"
by() { for who in "$@"; do echo "--by $who --key $dir/$who.key"; done; }
for i in 3 4 5; do q keys ceremony component --alg 3des --fd 9 9>"$dir/part$i"; done
root=$(python3 -c 'import sys; print("%032X" % (int(sys.argv[1], 16) ^ int(sys.argv[2], 16)))' "$(cut -d" " -f1 "$dir/part3")" "$(cut -d" " -f1 "$dir/part4")")
dtk=$(q keys derive --alg 3des --root "$root" --factor 02184280FFFFFFFF --factor 4730100000000017)
kcv() { printf %s "$1" | python3 -c 'import subprocess, sys
key = sys.stdin.read()
print(subprocess.run(["openssl", "enc", "-des-ede", "-nopad", "-K", key], input=bytes(8), stdout=-1).stdout.hex()[:6].upper())'; }

load() { # minutes, options: with the components on descriptors 3 and 4
	local minutes=$1; shift
	q keys ceremony load $ring $name $rest --minutes "$minutes" "$@" 3<"$dir/part3" 4<"$dir/part4" 5<"$dir/part5" 2>>"$dir/said"
}
load "$dir/m" $(by 张三) --fd 3 >/dev/null; is "one custodian is not enough" 9 $?
load "$dir/m" $(by 张三 张三) --fd 3 --fd 4 >/dev/null; is "one person twice is not two" 9 $?
sed -n 's/^张三,/张三丰,/p' "$dir/persons.csv" >>"$dir/persons.csv"; cp "$dir/张三.key" "$dir/张三丰.key"
load "$dir/m" $(by 张三 张三丰) --fd 3 --fd 4 >/dev/null; is "two names of one key are not two persons" 9 $?
load "$dir/m" --by 张三 --key "$dir/张三.key" --by 李四 --key "$dir/王五.key" --fd 3 --fd 4 >/dev/null; is "who signs with another's key is refused" 9 $?
load "$dir/m" $(by 张三 李四) --fd 3 --fd 4 --kcv 000000 >/dev/null; is "a key with another check value than expected is refused" 1 $?
cp "$dir/part4" "$dir/kept"; sed -i "s/ .*/ 000000/" "$dir/part4"
load "$dir/m" $(by 张三 李四) --fd 3 --fd 4 >/dev/null; is "a component with another check value than its sheet's is refused" 1 $?
cp "$dir/kept" "$dir/part4"
is "nothing that was refused is in the ring, or in minutes" "0 no" "$(q keys ring list $ring | wc -l) $([ -e "$dir/m" ] && echo yes || echo no)"
load "$dir/minutes" $(by 张三 李四) --fd 3 --fd 4 --kcv "$(kcv "$root")" >/dev/null; is "two custodians load a key" 0 $?
is "it is there, not yet used" "tac       3des  issuer 02184280 version 2 check value $(kcv "$root")  index 0  - to -  inactive" "$(q keys ring list $ring)"
grep -q "张三  分量校验值.*$(cut -d" " -f2 "$dir/part3")" "$dir/minutes" && grep -q "日期 date: *2026-01-05" "$dir/minutes"
say "the minutes name who, when and which check values" $?
python3 - "$dir" "$root" <<'P'
import sys, pathlib
d, root = pathlib.Path(sys.argv[1]), sys.argv[2]
seen = b"".join((d / n).read_bytes() for n in ("minutes", "said", "ring")).upper()
secrets = [root] + [(d / ("part%d" % i)).read_text().split()[0] for i in (3, 4)]
sys.exit(any(s.encode() in seen or bytes.fromhex(s) in seen for s in secrets))
P
say "neither minutes, messages nor ring show a component or the key" $?
activate() { q keys ceremony activate $ring $name $rest --minutes "$dir/$1" $(by 李四 王五) --pan 03104730100000000017 --card-kcv "$2" >/dev/null 2>&1; }
activate m2 123456; is "a known answer that differs leaves the key unused" "1 inactive" "$? $(q keys ring list $ring | grep -o inactive)"
activate m2 "$(kcv "$dtk")"; is "the known answer activates it" "0 active" "$? $(q keys ring list $ring --json | sed 's/.*"state":"\([a-z]*\)".*"test":false.*/\1/')"
digest=$(sed '/^----$/,$d' "$dir/m2" | sha256sum | cut -d" " -f1 | tr a-f A-F); grep -q "SHA-256.*$digest" "$dir/m2"; say "minutes carry the digest of what was signed" $?
q keys ring retire $ring $name --at 2027-01-01; is "a retirement is a date in the list" 2027-01-01T00:00:00 "$(q keys ring list $ring | sed 's/.* to \([^ ]*\) .*/\1/')"

# published keys: only as test keys, and a daemon takes those only when told so
printf '%s\n' 11111111111111111111111111111110 >"$dir/part3"
python3 -c 'print("%032X" % (0x11111111111111111111111111111110 ^ 0x404142434445464748494A4B4C4D4E4F))' >"$dir/part4"
name="--purpose tac --alg sm4 --issuer 02184280 --version 3"
load "$dir/m3" $(by 张三 李四) --fd 3 --fd 4 >/dev/null; is "a published test key is refused" 9 $?
load "$dir/m3" $(by 张三 李四) --fd 3 --fd 4 --test >/dev/null; is "it is taken when said to be one, and marked" "0 true" "$? $(q keys ring list $ring --json | sed -n 's/.*"sm4".*"test":\([a-z]*\).*/\1/p')"

# keys whose secret is in a device
device() { q keys ring device $ring --purpose tac --issuer 02184280 --version 4 "$@" 2>"$dir/said"; }
device --alg 3des --label tac-4 --kcv 112233; [ $? -eq 2 ] && grep -q "known answers" "$dir/said"; say "a key in a device needs its known answer" $?
device --alg sm4 --wrapped 00112233445566778899AABBCCDDEEFF --kcv 112233 --pan 03104730100000000017 --card-kcv 445566
is "an SDF device is given no key with levels it would have to show" 2 $?
device --alg 3des --label tac-4 --kcv 112233 --pan 03104730100000000017 --card-kcv 445566 && q keys ring list $ring | grep -q "version 4 check value 112233 .*active in-device$"
say "a key in a device is entered by its label" $?

# a terminal: nothing typed is echoed
answer=$(python3 - "$B/qingfen" keys ceremony load $ring --purpose load --alg sm4 --issuer 02184280 --version 1 $rest --minutes "$dir/m4" $(by 张三 王五) <<'P'
import os, pty, sys, time
typed = [b"A1B2C3D4E5F60718293A4B5C6D7E8F90", b"0F1E2D3C4B5A69788796A5B4C3D2E1F1"]
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen, n = b"", 0
while True:
    try:
        got = os.read(fd, 4096)
    except OSError:
        break
    if not got:
        break
    seen += got
    if n < 2 and seen.count(b"not echoed") > n:
        time.sleep(0.1); os.write(fd, typed[n] + b"\n"); n += 1
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(code, n, any(t in seen for t in typed))
P
)
is "components typed on a terminal are not echoed" "0 2 False" "$answer"
exit $status
