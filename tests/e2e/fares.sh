#!/usr/bin/env bash
# Tools for the person who edits fares: what they say of a changed copy of a pack is exactly the change.
. "$(dirname "$0")/lib.sh"
a=tariffs/packs/ganzhou b=$dir/b pid=0
trap '[ $pid -ne 0 ] && kill -9 $pid 2>/dev/null; rm -rf "$dir"' EXIT
export QINGFEN_STORE=$dir/city/store QINGFEN_SOCKET=$dir/city/clearingd.sock
t() { timeout 60 "$B/qingfen" tariff "$@"; }
py() { python3 -c "import json, sys
$1" "${@:2}"; }
cp -r $a "$b"
sed -i '/id: pupil$/,/price:/s/price: 50%/price: 60%/; s/minutes: 60$/minutes: 90/' "$b/rules.yaml"
sed -i 's/^version: 202501/version: 202502/' "$b/pack.yaml"
sed -i 's/^\(pupil[^,]*,.*\),100,80,20,no,/\1,120,60,20,no,/; s/^\(pupil-county,.*\),50,40,10,no,/\1,60,30,10,no,/' "$b/cases.csv"

# ---- price book -----------------------------------------------------------------------------------
t price-book $a --csv >"$dir/book.csv"; code=$?
is "a price book has the price of every group on a line" "90 0 50 0" \
	"$(py 'import csv
rows = [r for r in csv.DictReader(open(sys.argv[1])) if " 18 " in " " + r["lines"] + " " and "公交卡" in r["media"] and "本地卡" in r["guests"] + "各地卡".replace("各地", "本地")]
print(*[next(r["paid_fen"] for r in rows if r["group"] == g) for g in ("", "elder65", "pupil", "disabled")])' "$dir/book.csv")"
is "every cell of the book is what rate says" "same" "$(py 'import subprocess
book = json.loads(subprocess.run([sys.argv[1], "tariff", "price-book", sys.argv[2], "--json"], capture_output=True, check=True).stdout)
taps, want = [], []
for r in book["rows"]:
    if r["journey"] or r["group"] in ("elder65",) or "other" not in r["guests"] and "local" not in r["guests"]:
        continue
    tap = {"card": str(len(taps)), "time": "2025-01-02T09:00:00", "line": r["lines"][0], "medium": r["media"][0], "holds": [r["group"]] if r["group"] else []}
    if "local" not in r["guests"]:
        tap["issuer"] = "09999999"
    taps.append(json.dumps(tap)); want.append((r["published_fen"], r["paid_fen"], r["subsidy_fen"]))
out = subprocess.run([sys.argv[1], "tariff", "rate", sys.argv[2]], input="\n".join(taps), capture_output=True, text=True, check=True).stdout
got = [(f["published_fen"], f["paid_fen"], f["subsidy_fen"]) for f in map(json.loads, out.splitlines())]
print("same" if got == want and len(got) > 30 else [(t, g, w) for t, g, w in zip(taps, got, want) if g != w][:3])' "$B/qingfen" $a)"
is "the hours a rule is shut are a slot of their own" "07:00-08:30、17:00-18:30" "$(t price-book tariffs/packs/nc-bus | grep elder70 | grep -o '07:00-08:30、17:00-18:30' ; t price-book tariffs/packs/nc-bus | grep '工作日' | grep -o '07:00-08:30、17:00-18:30' | head -1)"
t price-book $a | grep -q '60 分钟内换乘减 0.50 元 \[transfer\]'; say "rules a first ride cannot show are named at the end" $?
for p in tariffs/packs/*/; do t price-book "$p" --json >"$dir/out" 2>"$dir/err" || { echo "$p" >>"$dir/bad"; continue; }; py 'b = json.load(open(sys.argv[1])); sys.exit(not b["rows"])' "$dir/out" || echo "$p" >>"$dir/bad"; done
[ ! -e "$dir/bad" ]; say "every pack has a price book" $? "$(cat "$dir/bad" 2>/dev/null)"

# ---- diff -------------------------------------------------------------------------------------------
t diff $a $a >"$dir/out"; is "a pack does not differ from itself" 0 $?
t diff $a "$b" --json >"$dir/diff.json"; is "packs that differ say so by the exit code" 1 $?
is "the price difference found is exactly the change: pupils with cards of the city, 50% to 60%" "ok" "$(py 'd = json.load(open(sys.argv[1]))
bad = [p for p in d["prices"] if p["groups"] != ["pupil"] or p["guests"] != ["local"] or p["media"] != ["card", "ssc", "qr"] or p["class"] == "express"
       or p["old"]["paid_fen"] * 6 != p["new"]["paid_fen"] * 5 or p["old"]["published_fen"] != p["new"]["published_fen"]]
print("ok" if d["prices"] and not bad else bad)' "$dir/diff.json")"
is "what the files say differently is exactly the change" "concessions/pupil/price 50% 60%, transfers/transfer/minutes 60 90, version 202501 202502" \
	"$(py 'print(", ".join(" ".join([w["path"], w["old"], w["new"]]) for w in json.load(open(sys.argv[1]))["words"]))' "$dir/diff.json")"
cp -r $a "$dir/c"; sed -i '/^D8,/d' "$dir/c/lines.csv"; sed -i '/^veteran,.*,D8,/d' "$dir/c/cases.csv"
answer=$(t diff $a "$dir/c"); [ "$(grep -c '仅旧包有' <<<"$answer")" -ge 1 ] && grep -q 'lines.csv/D8/fare: flat:500 -> (新包没有' <<<"$answer"; say "a line only one pack has is said so" $? "$answer"

# ---- what-if ----------------------------------------------------------------------------------------
py 'import random
random.seed(7)
for i in range(3000):
    c = random.randrange(900)
    tap = {"card": "c%d" % c, "time": "2025-11-%02dT%02d:%02d:00" % (random.randrange(3, 6), random.randrange(6, 22), random.randrange(60)), "line": random.choice(["18", "101", "D1", "N1"]), "vehicle": "V%d" % random.randrange(50)}
    if c % 9 == 0: tap["holds"] = [{"group": "pupil", "verified_to": "2026-08-31"}]
    if c % 9 == 1: tap.update(holds=["elder65"], birth="1950-01-01", home=360702)
    if i % 50 == 0: tap["vehicle"] = "\\u8d63" + tap["vehicle"]
    print(json.dumps(tap))' >"$dir/taps.ndjson"
t what-if "$b" --taps "$dir/taps.ndjson" --live $a --json >"$dir/whatif.json"; is "what-if rates past rides under both packs" 0 $?
is "both sides sum to what rate gives ride by ride" "ok" "$(py 'import subprocess
x = json.load(open(sys.argv[3]))["trial"]
taps = sorted((json.loads(l) for l in open(sys.argv[2])), key=lambda t: t["time"])
for side, pack in (("old", sys.argv[4]), ("new", sys.argv[5])):
    out = subprocess.run([sys.argv[1], "tariff", "rate", pack], input="\n".join(map(json.dumps, taps)), capture_output=True, text=True, check=True).stdout
    f = [r for r in map(json.loads, out.splitlines()) if not r["rejected"]]
    got = (len(f), sum(r["paid_fen"] for r in f), sum(r["subsidy_fen"] for r in f))
    want = (x[side]["rides"], x[side]["paid_fen"], x[side]["subsidy_fen"])
    if got != want: print(side, got, want); break
else: print("ok")' "$B/qingfen" "$dir/taps.ndjson" "$dir/whatif.json" $a "$b")"
is "treasuries sum to the subsidy, riders' gains and losses to the change" "ok" "$(py 'x = json.load(open(sys.argv[1]))["trial"]
ok = all(sum(t[s]["subsidy_fen"] for t in x["treasuries"]) == x[s]["subsidy_fen"] for s in ("old", "new"))
ok = ok and x["fen_more"] - x["fen_less"] == x["new"]["paid_fen"] - x["old"]["paid_fen"] and x["riders_touched"] >= x["riders_more"] > 0
print("ok" if ok else x)' "$dir/whatif.json")"
is "each ride that differs is listed" "ok" "$(t what-if "$b" --taps "$dir/taps.ndjson" --live $a --out "$dir/list.csv" >/dev/null; py 'import csv
x = json.load(open(sys.argv[1]))["trial"]; rows = list(csv.DictReader(open(sys.argv[2]), strict=True))
ok = len(rows) == x["rides_touched"] and sum(int(r["new_fen"]) - int(r["old_fen"]) for r in rows) == x["new"]["paid_fen"] - x["old"]["paid_fen"]
print("ok" if ok and {r["new_rule"] for r in rows} <= {"pupil", "transfer"} else rows[:3])' "$dir/whatif.json" "$dir/list.csv")"
is "a pack beside itself touches nobody" 0 "$(t what-if $a --taps "$dir/taps.ndjson" --live $a --json | py 'print(json.load(sys.stdin)["trial"]["rides_touched"])')"
for bad in '{"card":"a","time":"2025-13-01","line":"18"}' '{"card":"a","line":"18"}' '{"card":"a","time":"2025-11-03T08:00:00"}' '{"card":"a"' '[1]' '{"card":"a","card":"b"}' '{"x":[1,{"y":"]"}' \
	'{"card":"\ud800","time":"2025-11-03T08:00:00","line":"18"}' '{"time":"2025-11-03T08:00:00","line":"18","holds":3}' \
	'{"card":7,"time":"2025-11-03T08:00:00","line":"18"}' '{"time":"2025-11-03T08:00:00","line":"S1","stop_on":65537}' '{"time":"2025-11-03T08:00:00","line":"18","home":"360702"}'; do
	printf '\n%s\n' "$bad" >"$dir/bad.ndjson"; answer=$(t what-if $a --taps "$dir/bad.ndjson" --live $a 2>&1); code=$?
	[ $code -eq 2 ] && grep -q 'bad.ndjson:2:[0-9]*: ' <<<"$answer" || echo "$code $bad: $answer" >>"$dir/unrefused"
done
[ ! -e "$dir/unrefused" ]; say "taps that cannot be read are refused with line and column" $? "$(cat "$dir/unrefused" 2>/dev/null)"
is "diff with past taps tells riders touched" "$(py 'print(json.load(open(sys.argv[1]))["trial"]["riders_touched"])' "$dir/whatif.json")" \
	"$(t diff $a "$b" --taps "$dir/taps.ndjson" --json | py 'print(json.load(sys.stdin)["taps"]["riders_touched"])')"

# ---- GTFS Fares v2 and terminals' parameters ----------------------------------------------------------
references='import csv, os
d = sys.argv[1]
def rows(name): return list(csv.DictReader(open(os.path.join(d, name), encoding="utf-8"), strict=True))
def ids(name, *columns): return {r[c] for r in rows(name) for c in columns if r[c] != ""}
for name in os.listdir(d):
    if name.endswith(".txt") and name != "NOT_CARRIED.txt":
        width = len(next(csv.reader(open(os.path.join(d, name)))))
        assert all(len(r) == width for r in csv.reader(open(os.path.join(d, name)), strict=True)), name
def within(used, known, what): assert used <= known, (what, sorted(used - known)[:3])
within(ids("route_networks.txt", "route_id"), ids("routes.txt", "route_id"), "routes")
within(ids("route_networks.txt", "network_id"), ids("networks.txt", "network_id"), "networks")
within(ids("routes.txt", "agency_id"), ids("agency.txt", "agency_id"), "agencies")
within(ids("fare_leg_rules.txt", "network_id"), ids("networks.txt", "network_id"), "leg networks")
within(ids("fare_leg_rules.txt", "from_area_id", "to_area_id"), ids("areas.txt", "area_id"), "areas")
within(ids("fare_leg_rules.txt", "from_timeframe_group_id", "to_timeframe_group_id"), ids("timeframes.txt", "timeframe_group_id"), "timeframes")
within(ids("timeframes.txt", "service_id"), ids("calendar_dates.txt", "service_id"), "services")
within(ids("fare_leg_rules.txt", "fare_product_id") | ids("fare_transfer_rules.txt", "fare_product_id"), ids("fare_products.txt", "fare_product_id"), "products")
within(ids("fare_products.txt", "rider_category_id"), ids("rider_categories.txt", "rider_category_id"), "categories")
within(ids("fare_products.txt", "fare_media_id"), ids("fare_media.txt", "fare_media_id"), "media")
within(ids("fare_transfer_rules.txt", "from_leg_group_id", "to_leg_group_id"), ids("fare_leg_rules.txt", "leg_group_id"), "leg groups")
for name, key in (("routes.txt", ["route_id"]), ("networks.txt", ["network_id"]), ("areas.txt", ["area_id"]), ("rider_categories.txt", ["rider_category_id"]), ("fare_media.txt", ["fare_media_id"]),
                  ("calendar_dates.txt", ["service_id", "date"]), ("fare_products.txt", ["fare_product_id", "rider_category_id", "fare_media_id"])):
    keys = [tuple(r[k] for k in key) for r in rows(name)]
    assert len(keys) == len(set(keys)), name
for r in rows("fare_transfer_rules.txt"):
    assert (r["transfer_count"] != "") == (r["from_leg_group_id"] == r["to_leg_group_id"]) and (r["duration_limit"] != "") == (r["duration_limit_type"] != ""), r
assert all(r["rule_priority"] != "" for r in rows("fare_leg_rules.txt")) and sum(r["is_default_fare_category"] == "1" for r in rows("rider_categories.txt")) == 1
print("ok")'
for p in tariffs/packs/*/; do rm -rf "$dir/gtfs"; { t gtfs "$p" --to "$dir/gtfs" && py "$references" "$dir/gtfs"; } >>"$dir/out" 2>"$dir/err" || echo "$p: $(tail -1 "$dir/err")" >>"$dir/broken"; done
[ ! -e "$dir/broken" ]; say "in the GTFS export of every pack each id that is used exists, and keys are unique" $? "$(cat "$dir/broken" 2>/dev/null)"
t gtfs $a --to "$dir/gtfs"; t gtfs "$b" --to "$dir/gtfs2"
is "GTFS amounts are the prices of the book" "0.90 0.00 0.50 1.00" "$(for k in everyone,card, elder65,card, pupil,card, everyone,cash,; do grep "^flat1,.*,$k" "$dir/gtfs/fare_products.txt" | cut -d, -f5; done | tr '\n' ' ' | sed 's/ $//')"
is "what changes in the GTFS export is exactly the change" "pupil" "$(diff "$dir/gtfs/fare_products.txt" "$dir/gtfs2/fare_products.txt" | sed -n 's/^> [^,]*,[^,]*,\([^,]*\),.*/\1/p' | sort -u)"
grep -q '^transfer	.*从前一程起算' "$dir/gtfs/NOT_CARRIED.txt" && grep -q '^lock	' "$dir/gtfs/NOT_CARRIED.txt"; say "what GTFS cannot carry is listed with the rule and the reason" $? "$(cat "$dir/gtfs/NOT_CARRIED.txt")"
t gtfs tariffs/packs/hz-card --to "$dir/hz"; is "a transfer whose window runs from the first leg is carried as a negative amount" "bus bus 1 5400 1 1 -1.00" \
	"$(grep '^bus,bus,' "$dir/hz/fare_transfer_rules.txt" | cut -d, -f1-6 | tr ',' ' ') $(grep '^transfer1,.*,everyone,card,' "$dir/hz/fare_products.txt" | cut -d, -f5)"
t gtfs tariffs/packs/nc-bus --to "$dir/nc"; is "hours become timeframes" "07:00:00-08:30:00 17:00:00-18:30:00" "$(grep '^t2,' "$dir/nc/timeframes.txt" | cut -d, -f2,3 | tr , - | tr '\n' ' ' | sed 's/ $//')"
t params $a --to "$dir/p.blob" --key "$dir/none.key" 2>/dev/null; code=$?; t compile $a --to "$dir/q.blob"; cmp -s "$dir/p.blob" "$dir/q.blob" && [ $code -eq 3 ]; say "parameters for the project's validator are the compiled pack" $?
t price-book "$dir/p.blob" | diff -q - <(t price-book $a) >/dev/null; say "and a compiled pack can be asked for its price book" $?
t params $a --to "$dir/p.csv"; is "the parameter table gives type, percent, price" "pupil 50 50" "$(py 'import csv
rows = list(csv.DictReader(open(sys.argv[1]), strict=True))
assert all(None not in r and None not in r.values() for r in rows)
print(*next((r["type"], r["percent"], r["price_fen"]) for r in rows if r["type"] == "pupil" and "18" in r["lines"].split() and "card" in r["media"].split() and r["rule"] == "pupil"))' "$dir/p.csv")"
grep -q '^transfer	' "$dir/p.csv.NOT_CARRIED.txt"; say "and what a table cannot say is listed" $?

# ---- a house with a day, and publishing by two persons ------------------------------------------------
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$B/qingfen" sim city --out "$dir/city" --seed 7 --lines 4 --devices 4 --taps 600 --day 2025-11-03 >/dev/null 2>&1 || { echo "not ok - a city is made"; exit 1; }
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" -e '/^partners:/,$d' "$dir/city/clearingd.conf"
home=$dir/city
start() {
	"$B/clearingd" -c "$home/clearingd.conf" 2>>"$dir/log" &
	pid=$!
	for _ in $(seq 200); do "$B/qingfen" status >/dev/null 2>&1 && return 0; sleep 0.05; done
	cat "$dir/log"; echo "not ok - the daemon starts"; exit 1
}
start
"$B/qingfen" load tariff $a >/dev/null && for f in terminals issuers riders; do "$B/qingfen" load $f "$dir/city/$f.csv" >/dev/null || exit 1; done
for n in 张三 李四 王五; do t person $n --to "$dir/$n.key" >"$dir/$n.csv"; done
{ cat "$dir/张三.csv"; tail -n 1 "$dir/李四.csv"; } >"$dir/persons.csv"
is "a signing key is for its owner's eyes" 600 "$(stat -c %a "$dir/张三.key")"
publish() { t publish "$1" --from "$2" --by "$3" --key "$dir/${4:-$3}.key" 2>&1; }
in_future=$(date -u -d '+2 days' +%Y-%m-%dT%H:%M:%SZ)
answer=$(publish "$b" "$in_future" 张三); is "nobody may publish before persons are loaded" 9 $?
"$B/qingfen" load persons "$dir/persons.csv" >/dev/null; say "persons and their public keys are loaded" $?
"$B/qingfen" load tariff "$b" >/dev/null 2>&1; is "a house with persons takes no tariff from one alone" 9 $?
answer=$(publish "$b" 2025-01-01 张三); is "a tariff cannot take effect in the past" 9 $?
answer=$(publish "$b" "$in_future" 王五); is "a person who is not on the list is refused" 9 $?
answer=$(publish "$b" "$in_future" 张三 李四); [ $? -eq 9 ] && grep -q signature <<<"$answer"; say "a signature of another's key is refused" $? "$answer"
cp -r "$b" "$dir/d"; sed -i 's/,120,60,20,no,/,121,60,20,no,/' "$dir/d/cases.csv"
answer=$(publish "$dir/d" "$in_future" 张三); is "a pack whose case fails is not published" 3 $?
answer=$(publish "$b" "$in_future" 张三); grep -q 'state:proposed' <<<"$answer"; say "the first signature makes a proposal" $? "$answer"
t versions --json | grep -q '202502'; [ $? -eq 1 ]; say "a proposal is not in force" $?
answer=$(publish "$b" "$in_future" 张三); [ $? -eq 9 ] && grep -q 'second person' <<<"$answer"; say "the same person cannot be the second" $? "$answer"
cp -r "$b" "$dir/e"; sed -i 's/price: 60%/price: 70%/' "$dir/e/rules.yaml"; sed -i 's/,120,60,20,no,/,140,40,20,no,/; s/,60,30,10,no,/,70,20,10,no,/' "$dir/e/cases.csv"
answer=$(publish "$dir/e" "$in_future" 李四); grep -q 'state:proposed' <<<"$answer"; say "a second person with another pack signs another proposal" $? "$answer"
kill -9 $pid; wait $pid 2>/dev/null; start
answer=$(publish "$b" "$in_future" 李四); grep -q 'state:published' <<<"$answer"; say "the second signature publishes, after a kill -9 too" $? "$answer"
t versions --json | grep -q '"version":202502,"name":"ganzhou-2025-01"'; say "the published version is told" $?
timeout 60 "$B/qingfen" sim validators --city "$dir/city" --connect "127.0.0.1:$port" --parallel 4 --limit 50 --json >"$dir/out" 2>&1; say "validators upload under the tariff in force now" $? "$(tail -3 "$dir/out")"
answer=$(t withdraw 202501 --by 张三 --key "$dir/张三.key" 2>&1); [ $? -eq 9 ] && grep -q 'no other version' <<<"$answer"; say "the only tariff in force cannot be withdrawn" $? "$answer"
answer=$(t withdraw 202502 --by 张三 --key "$dir/张三.key" 2>&1); grep -q 'state:withdrawn' <<<"$answer"; say "one person takes a version back" $? "$answer"
answer=$(t withdraw 202502 --by 张三 --key "$dir/张三.key" 2>&1); is "a version is withdrawn once" 9 $?
answer=$(publish "$b" "$in_future" 张三); is "a withdrawn version does not come back under its number" 9 $?
"$B/qingfen" day close 2025-11-03 >/dev/null; say "the day closes with these events in its inbox" $?
answer=$("$B/qingfen" recompute 2025-11-03 && "$B/qingfen" check); say "and is cleared again byte for byte" $? "$answer"
before=$(t versions --json); kill -9 $pid; wait $pid 2>/dev/null; start
is "after a restart the versions are the same" "$before" "$(t versions --json)"
kill $pid; wait $pid 2>/dev/null; pid=0
t what-if "$b" --db "$QINGFEN_STORE" --day 2025-11-03 --json >"$dir/store.json"; say "what-if reads a cleared day of a store without the daemon" $?
is "its live side is what the day was cleared with" "$("$B/qingfen" dump --canonical --date 2025-11-03 | py 'rows = [r for r in map(json.loads, sys.stdin) if r.get("paid_fen") is not None or r.get("rated_fen") is not None]
print(sum(r.get("rated_fen", r.get("paid_fen")) for r in rows))' 2>/dev/null)" "$(py 'print(json.load(open(sys.argv[1]))["trial"]["old"]["paid_fen"])' "$dir/store.json")"
is "ride by ride too" 0 "$(py 'print(json.load(open(sys.argv[1]))["trial"]["unlike_store"])' "$dir/store.json")"
is "on the store too a pack beside itself touches nobody" 0 "$(t what-if $a --db "$QINGFEN_STORE" --day 2025-11-03 --json | py 'print(json.load(sys.stdin)["trial"]["rides_touched"])')"
t what-if $a --db "$QINGFEN_STORE" --day 2025-11-09 >/dev/null 2>&1; is "a day that is not there is told" 5 $?

# ---- today: a bus goes over to the published tariff and back, and the day is cleared with both -------------
now=$dir/now today=$(TZ=UTC-8 date +%F)
export QINGFEN_STORE=$now/store QINGFEN_SOCKET=$now/clearingd.sock
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$B/qingfen" sim city --out "$now" --seed 7 --lines 4 --devices 4 --taps 100 >/dev/null 2>&1 || { echo "not ok - a city of today is made"; exit 1; }
sed -i -e "s|^store:.*|store: store|" -e "s|^listen:.*|listen: 127.0.0.1:$port|" -e "s|^control_socket:.*|control_socket: clearingd.sock|" -e "s|^open_day:.*|open_day: $today|" -e '/^partners:/,$d' "$now/clearingd.conf"
home=$now
start
"$B/qingfen" load tariff $a >/dev/null && for f in terminals issuers; do "$B/qingfen" load $f "$now/$f.csv" >/dev/null || exit 1; done
"$B/qingfen" load blacklist "$now/blacklist.csv" --version 1 >/dev/null && "$B/qingfen" load persons "$dir/persons.csv" >/dev/null || exit 1
IFS=, read -r terminal _ device operator _ < <(sed -n 2p "$now/terminals.csv")
cat >"$now/validatord.conf" <<END
device: $device
terminal: "$terminal"
spool: spool
host: 127.0.0.1
port: $port
tls_cert: devices/$device.pem
tls_key: devices/$device.pem
tls_ca: ca.crt
keyring: keyring.qfk
passphrase_file: keyring.pass
operator: $operator
line: "1"
vehicle: 赣B12345
city: "4280"
acquirer: "12184280"
back_off_s: 1
END
bus() { timeout 60 "$B/validatord" -c "$now/validatord.conf" "$@" 2>>"$dir/bus.log"; }
on_bus() { t price-book "$now/tariff.blob" --json | py 'print(json.load(sys.stdin)["pack_version"])'; }
bus --once && bus --simulate 12 --seed 1 --once; is "a bus rides under the tariff of the house" 202501 "$(on_bus)"
at=$(($(date +%s) + 6)) soon=$(date -u -d "@$at" +%Y-%m-%dT%H:%M:%SZ)
publish "$b" "$soon" 张三 >/dev/null && publish "$b" "$soon" 李四 >"$dir/out"; say "a tariff is published for some seconds from now" $? "$(cat "$dir/out")"
bus --once; is "before its time the bus keeps the old one" 202501 "$(on_bus)"
while [ "$(date +%s)" -le $at ]; do sleep 0.2; done
bus --once; is "when its time has come the bus is given it" 202502 "$(on_bus)"
bus --simulate 12 --seed 2 --once
t withdraw 202502 --by 李四 --key "$dir/李四.key" >/dev/null; bus --once; is "a withdrawal brings the old one back" 202501 "$(on_bus)"
sleep 1; bus --simulate 12 --seed 3 --once
"$B/qingfen" day close "$today" >/dev/null; say "the day is cleared" $?
is "with the tariff of each ride's time" "202501 202502 202501" "$("$B/qingfen" dump --canonical --date "$today" | py 'rows = [r for r in map(json.loads, sys.stdin) if r.get("tariff_version")]
seen = []
for r in sorted(rows, key=lambda r: r["tap"].split("-")[-1]):
    if not seen or seen[-1] != r["tariff_version"]: seen.append(r["tariff_version"])
print(*seen)')"
answer=$("$B/qingfen" recompute "$today" && "$B/qingfen" check); say "and again, byte for byte" $? "$answer"
is "what-if over it knows both packs" 0 "$(t what-if "$b" --db "$QINGFEN_STORE" --day "$today" --json | py 'print(json.load(sys.stdin)["trial"]["unlike_store"])')"
kill $pid; wait $pid 2>/dev/null; pid=0
exit $status
