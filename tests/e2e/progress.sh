#!/usr/bin/env bash
# How far a long piece of work is: told on a terminal after a second, elsewhere only when asked, never on standard output.
. "$(dirname "$0")/lib.sh"
pack=tariffs/packs/ganzhou
cp -r $pack "$dir/draft"
sed -i 's/price: 90%/price: 85%/' "$dir"/draft/*.yaml

# watch HOW RIDES PAUSE [SIGNAL]: what-if reads rides from a pipe that pauses in the middle; its standard error is a pseudo
# terminal (tty) or a pipe. Leaves its exit code, standard output and standard error in files.
watch() {
	timeout 60 python3 - "$B/qingfen" "$dir" $pack "$@" <<'PYTHON'
import os, pty, signal, subprocess, sys, threading, time
program, dir, pack, how, rides, pause = sys.argv[1:7]
rides = int(rides)
taps = ['{"card":"c%d","time":"2025-11-03T%02d:%02d:%02d","line":"18"}\n' % (i % 9000, 7 + i // 3600, i // 60 % 60, i % 60) for i in range(rides)]
master, slave = pty.openpty() if how == "tty" else os.pipe()
p = subprocess.Popen([program, "tariff", "what-if", dir + "/draft", "--taps", "-", "--live", pack, "--json"], stdin=subprocess.PIPE, stdout=open(dir + "/out", "wb"), stderr=slave)
os.close(slave)
seen = []
def read():
    while True:
        try: part = os.read(master, 65536)
        except OSError: break
        if not part: break
        seen.append(part)
reader = threading.Thread(target=read)
reader.start()
p.stdin.write("".join(taps[:rides // 2]).encode()); p.stdin.flush()
time.sleep(float(pause))
for name in sys.argv[7:]: p.send_signal(getattr(signal, name))
p.stdin.write("".join(taps[rides // 2:]).encode()); p.stdin.close()
open(dir + "/code", "w").write(str(p.wait()))
reader.join()
open(dir + "/err", "wb").write(b"".join(seen))
PYTHON
}
rides() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["trial"]["rides"])' "$dir/out" 2>&1; }

watch tty 40000 1.2
is "on a terminal the work ends as elsewhere" "0 40000" "$(cat "$dir/code") $(rides)"
grep -q '读入 1/2 .*MB .*/s' "$dir/err"; say "on a terminal the stage that reads tells its pace" $? "$(cat -v "$dir/err")"
grep -q '计价 2/2 \[##############################\] 100% 40000/40000 笔' "$dir/err"; say "on a terminal the stage that rates has a bar that fills" $? "$(cat -v "$dir/err")"
[ "$(tail -c 1 "$dir/err" | od -An -c | tr -d ' ')" = '\n' ]; say "the last line is left standing" $? "$(cat -v "$dir/err")"
watch tty 100 0
is "work shorter than a second shows nothing on a terminal" "0 0" "$(cat "$dir/code") $(stat -c %s "$dir/err")"
watch pipe 40000 1.2
is "in a pipe nothing is shown" "0 0 40000" "$(cat "$dir/code") $(stat -c %s "$dir/err") $(rides)"
watch pipe 40000 1.2 SIGUSR1
is "SIGUSR1 asks for one line without a bar" "0 1 0" "$(cat "$dir/code") $(grep -c '^读入 1/2 ' "$dir/err") $(grep -c '#' "$dir/err")"
is "and the work goes on" 40000 "$(rides)"
printf '{"card":"a","time":"2025-11-03T08:00:00","line":"18"}\nx\n' >"$dir/bad.ndjson"
answer=$("$B/qingfen" tariff what-if "$dir/draft" --taps "$dir/bad.ndjson" --live $pack 2>&1)
is "a fault is told in one line" "2 1" "$? $(wc -l <<<"$answer")"
exit $status
