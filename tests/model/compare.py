"""Random packs over the whole vocabulary of tariff.5, random rides, and two answers for each: the engine's and the
model's. compare.py ENGINE SEED PACKS RIDES; prints what differs and how to see it again; the last line counts."""
import json
import os
import random
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fare_model

START = datetime(2025, 1, 1)
CLASSES = ["c0", "c1", "c2"]
MODES = ["bus", "metro", "brt"]
MEDIA = ["card", "ssc", "qr", "bank", "cash"]
GROUPS = ["h0", "h1", "age", "mark", "check", "both", "beside"]


def date_text(r, low=0, high=500):
    return (START + timedelta(days=r.randint(low, high))).strftime("%Y-%m-%d")


def slots(r):
    hours = sorted(r.sample(range(1, 48), 4))
    text = ["%02d:%02d" % (h // 2, h % 2 * 30) for h in hours]
    night = ["22:00-05:00"] if r.random() < 0.2 else []
    return night or ["%s-%s" % (text[0], text[1]), "%s-%s" % (text[2], text[3])][:r.randint(1, 2)]


def conditions(r, who=True, rich=0.3):
    c = {}
    if who and r.random() < 0.6:
        c["who"] = r.sample(GROUPS, r.randint(1, 2))
    elif who and r.random() < 0.2:
        c["who_not"] = r.sample(GROUPS, 1)
    if r.random() < rich:
        c[r.choice(["class", "not_class"])] = r.sample(CLASSES, r.randint(1, 2))
    if r.random() < rich / 2:
        c["mode"] = r.sample(MODES, 2)
    if r.random() < rich / 2:
        c["medium"] = r.sample(MEDIA, 3)
    if r.random() < rich / 2:
        c["line"] = ["L%d" % i for i in r.sample(range(8), 4)]
    if r.random() < rich / 3:
        c["not_line"] = ["L%d" % i for i in r.sample(range(8), 2)]
    if r.random() < rich / 2:
        c["fare_fen_max"] = r.choice([150, 200, 300])
    elif r.random() < rich / 2:
        c["fare_fen_min"] = r.choice([150, 200, 300])
    if r.random() < rich / 2:
        c["season"] = [r.choice(["warm", "winter"])]
    if r.random() < rich / 2:
        c["hours"] = slots(r)
        c["days"] = r.choice(["all", "workday", "restday", "school"])
    if r.random() < rich / 2:
        c["guest"] = r.choice([["local", "region"], ["other"], ["local", "region", "other"]])
    if r.random() < rich / 4:
        c["product"] = ["p1"]
    return c


def dated(r, c):
    c["from"] = date_text(r, -300, 60)
    if r.random() < 0.15:
        c["to"] = date_text(r, 61, 200)
    if r.random() < 0.1:
        c["published_on"] = date_text(r, 0, 90)
    return c


def price(r, quota):
    kind = r.randrange(9)
    if kind == 0:
        return "free"
    if kind == 1:
        return "published"
    if kind == 2:
        return "own"
    if kind == 3:
        return {"fixed_fen": r.choice([50, 70, 100, 140])}
    if kind == 4:
        return {"minus_fen": r.choice([20, 50, 100])}
    if kind == 5:
        return {"bands": [{"upto_fen": 150, "rate": "80%"}, {"upto_fen": 400, "rate": "72.5%"}, {"rate": "65%"}]}
    if kind == 6:
        return {"rate": "%d%%" % r.randint(20, 95), "at_most": "own"}
    if kind == 7 and quota == "granted":
        return {"units": r.randint(1, 3)}
    return "%d.%d%%" % (r.randint(10, 99), r.randint(0, 99))


def rounding(r):
    return {"mode": r.choice(["half-up", "half-down", "half-even", "floor", "ceil"]), "unit_fen": r.choice([1, 1, 1, 5, 10])}


def rule(i, title):
    return {"id": i, "title": title, "basis": "生成"}


def concessions(r):
    out = [dict(rule("ordinary", "普通"), **{"from": "2024-01-01", "price": "%d%%" % r.choice([70, 80, 90, 95]), "fund": "none"})]
    if r.random() < 0.2:
        out[0]["class"] = ["c0", "c1"]
    out.append(dict(rule("fallback", "备用"), **{"from": "2024-01-01", "price": price(r, None), "fallback_only": "yes", "fund": r.choice(FUNDS)}))
    for i in range(r.randint(3, 7)):
        c = dated(r, dict(rule("r%d" % i, "规则"), **conditions(r)))
        quota = r.choice([None, None, "month", "granted"])
        c["price"] = price(r, quota)
        c["fund"] = r.choice(FUNDS)
        c["precedence"] = r.choice([0, 10, 10, 20])
        if quota:
            c.update(quota=r.choice([quota, [quota, "few"], [quota, "few", "year"]]), takes=c["price"]["units"] if isinstance(c["price"], dict) and "units" in c["price"] else r.randint(1, 2),
                     quota_empty=r.choice(["published", "other", "fallback", "ordinary"]))
        if r.random() < 0.3:
            c.update(shut=slots(r), shut_days=r.choice(["all", "workday", "restday"]), shut_price=r.choice(["published", "other", "fallback"]))
        if r.random() < 0.2:
            c["rounding"] = rounding(r)
        out.append(c)
    if not any(x.get("quota_empty") == "fallback" or x.get("shut_price") == "fallback" for x in out):
        out[-1].update(shut=["07:00-08:30"], shut_days="workday", shut_price="fallback")
    return out


def transfer(r, i, ids):
    x = dict(rule("t%d" % i, "换乘"), **conditions(r, who=False, rich=0.2))
    x.update(minutes=r.choice([30, 60, 90, 120, "none"]), included=r.choice(["yes", "no"]), of=r.choice(["previous", "first"]),
             clock=r.choice(["tap-on", "ride-end", {"bus": "tap-on", "metro": "ride-end", "brt": "ride-end"}]), fund=r.choice(FUNDS),
             same_vehicle=r.choice(["yes", "no"]), same_line=r.choice(["yes", "no", {"after": 15}]), miss=r.choice(["restart", "ignore", "close"]))
    if r.random() < 0.4:
        x.update(least_gap=r.choice([2, 5]), too_soon=r.choice(["ignore", "restart", "close"]))
    if r.random() < 0.5:
        x.update(uses=r.randint(1, 3), used_up=r.choice(["restart", "ignore"]))
    if r.random() < 0.3:
        x["not_with"] = r.sample(ids, 1)
    if r.random() < 0.2:
        x["starts"] = r.sample(ids + ["published"], 3)
    if r.random() < 0.2:
        x["starts_paid"] = "yes"
    if r.random() < 0.2:
        x["both_taps"] = "yes"
    if x["minutes"] != "none" and r.random() < 0.2:
        x["hours_minutes"] = [{"hours": ["18:00-23:00"], "minutes": 150}]
    prices = []
    for _ in range(r.randint(1, 3)):
        p = {}
        if r.random() < 0.4:
            p["pairs"] = r.sample(["%s-%s" % (a, b) for a in MODES for b in MODES], 5)
        if r.random() < 0.3:
            p["use"] = r.choice([[1], [2, 3], [1, 3]])
        if r.random() < 0.2:
            p["minutes"] = r.choice([10, 30, 45])
        if r.random() < 0.2:
            p["with"] = r.sample(ids + ["published"], 3)
        if r.random() < 0.1:
            p["inside"] = "yes"
        kind = r.randrange(5)
        if kind == 0:
            p["minus_fen"] = r.choice([20, 50, 100])
        elif kind == 1:
            p.update(minus_fen={"least": r.sample([200, "previous", "own"], 2)}, instead=r.choice(["yes", "no"]))
            if not any(isinstance(v, int) for v in p["minus_fen"]["least"]):
                p["minus_fen"]["least"].append(150)
        elif kind == 2:
            p["price"] = r.choice(["free", "60%", {"fixed_fen": 70}])
        elif kind == 3:
            p.update(up_to_dearest="yes", dearer=r.choice(["stays", "moves-window"]))
        else:
            p["minus_fen"] = 40
        prices.append(p)
    x["prices"] = prices
    return x


FUNDS = ["none", "full", "gap", "unit", "own", "lump"]


def head(r):
    return {"name": "random", "title": "随机", "version": 1, "valid_from": "2024-06-01", "published_on": "2024-06-01", "basis": "生成", "rounding": rounding(r),
            "stacking": "cheapest", "card_price": "ordinary", "home_issuer": "02184280", "guest_default": "other",
            "regions": [{"issuer": "02184281", "guest": "region", "title": "邻市"}], "fare_day_cut": r.choice(["00:00", "03:00", "04:30"]),
            "birthdays": {"counts": r.choice(["same-day", "day-after"]), "feb29": r.choice(["mar-1", "feb-28"])},
            "seasons": [{"name": "warm", "title": "夏", "dates": ["05-01..09-30"]},
                        {"name": "winter", "title": "冬", "dates": ["12-01..02-28"], "feb29": r.choice(["in", "out"])}]}


def pack(r):
    p = head(r)
    p["groups"] = [dict(name="h0", title="甲", code=1, source="局", hold="yes"),
                   dict(name="h1", title="乙", code=2, source="局", hold="yes", grade_min=1, grade_max=2),
                   dict(name="age", title="丙", code=3, source="局", age=r.choice([[65, ""], [60, 69], ["", 18]]), ends=r.choice(["birthday", "year-end"])),
                   dict(name="mark", title="丁", code=4, source="局", product=["p1", "p2"]),
                   dict(name="check", title="戊", code=5, source="局", hold="yes", check="yearly", lapsed=r.choice(["ordinary", "other", "fallback"])),
                   dict(name="both", title="己", code=6, source="局", hold="yes", age=["", 25], all="yes"),
                   dict(name="beside", title="庚", code=7, source="局", escort=r.choice([2, 5]), **r.choice([{}, {"product": ["p1"], "all": "yes"}, {"hold": "yes"}]))]
    if p["groups"][2]["age"][1] == "":
        p["groups"][2].pop("ends")
    p["treasuries"] = [dict(name=n, title=n) for n in ("city", "district", "third")]
    p["funding"] = [dict(rule("none", "无"), gap="none"), dict(rule("full", "足"), gap="published", share=[["city", r.randint(1, 9)], ["district", r.randint(1, 9)]]),
                    dict(rule("gap", "卡"), gap="card-price", share={"city": 3, "district": 2, "third": 2}, operator=r.choice([1, 2])),
                    dict(rule("unit", "次"), gap="unit", unit_fen=r.choice([80, {"warm": 100, "winter": 60}]), share={"city": 100}),
                    dict(rule("own", "自"), gap="own", share={"third": 100}), dict(rule("lump", "包"), gap="lump")]
    p["classes"] = [dict(name=c, title=c) for c in CLASSES]
    p["fares"] = [dict(rule("night", "夜"), **{"class": ["c1"], "hours": ["22:00-05:00"], "flat_fen": 300}),
                  dict(rule("far", "里程"), **{"class": ["c1"], **r.choice([
                      {"by": "m", "steps": [{"upto": 5000, "fen": 150}, {"upto": 12000, "each": 3000, "fen": 50}, {"each": 5000, "fen": 45}]},
                      {"by": "stops", "steps": [{"upto": 1, "fen": 150}, {"each": 2, "fen": 50}]}, {"by": "zones", "steps": [{"upto": 1, "fen": 200}, {"each": 1, "fen": 90}]}])})]
    if r.random() < 0.3:
        p["fares"][1]["rounding"] = {"mode": "half-up", "unit_fen": 50}
    p["quotas"] = [dict(rule("month", "每月"), limit=r.randint(3, 12), per=r.choice(["day", "month", "year", "card-year", "168h"]), of=r.choice(["person", "card"])),
                   dict(rule("granted", "给"), limit="granted", per="month", of="person", unit_fen=50),
                   dict(rule("few", "每日"), limit=r.randint(1, 4), per="day", of="person"), dict(rule("year", "每年"), limit=r.randint(5, 60), per="year", of="card")]
    p["concessions"] = concessions(r)
    ids = [c["id"] for c in p["concessions"]]
    p["order"] = r.choice([["concession", "transfer", "ladder", "cap"], ["transfer", "concession", "cap"], ["concession", "ladder", "transfer", "round", "cap"]])
    p["transfers"] = [transfer(r, i, ids) for i in range(r.randint(1, 2))]
    if "ladder" in p["order"] and r.random() < 0.7:
        count = r.choice(["rides", "paid", "published"])
        steps = [(0, 100), (4, 80), (9, 50)] if count == "rides" else [(0, 100), (1000, 80), (2500, 50), (6000, 100)]
        p["ladders"] = [dict(rule("l0", "累计"), count=count, per=r.choice(["month", "day", "72h"]), of=r.choice(["person", "card"]), fund=r.choice(FUNDS),
                             reading="before" if count == "rides" else r.choice(["before", "split"]), steps=[{"from": a, "rate": "%d%%" % b} for a, b in steps],
                             **conditions(r, rich=0.15))]
    if r.random() < 0.6:
        p["caps"] = [dict(rule("cap", "封顶"), per=r.choice(["day", "168h", "month", "card-year"]), of=r.choice(["person", "card"]), fund=r.choice(FUNDS),
                          limits=[{"from": "2024-01-01", "fen": r.choice([300, 800])}, {"from": "2025-02-01", "fen": 900}],
                          count_unfinished=r.choice(["yes", "no"]), **conditions(r, rich=0.15))]
    if r.random() < 0.4:
        p["refunds"] = [dict(rule("back", "返还"), per="month", due=15, rate="50%", fund="full", **conditions(r, rich=0.1))]
    if r.random() < 0.5:
        p["locks"] = [dict(rule("lock", "锁"), minutes=r.choice([5, 10, "window"]), same_vehicle=r.choice(["yes", "no"]), then=r.choice(["refuse", "other", "published", "passenger"]))]
        p["locks"][0]["with"] = r.choice(["all", r.sample(ids, 2)])
    p["open_rides"] = [dict(rule("open", "两次刷卡"), **{"class": ["c1"], "hold": r.choice(["none", "max", 300]), "unfinished": r.choice(["far-end", "keep-hold", "none", 250]),
                                                      "unfinished_free_with": [ids[-1]], "same_line": r.choice(["yes", "no"])})]
    if r.random() < 0.3:
        p["open_rides"][0]["complete_within"] = 120
    for x in p["quotas"] + p.get("ladders", []) + p.get("caps", []):
        if x["per"] == "day" and r.random() < 0.5:
            x["fare_day_cut"] = r.choice(["00:00", "02:30", "05:00", "12:00"])
    return p


def tables(r, folder):
    with open(folder + "/lines.csv", "w") as f:
        f.write("line,class,fare,mode,own_fen,hold_fen\n")
        for i in range(8):
            cls = "c%d" % (i % 3)
            fare = "class" if cls == "c1" else r.choice(["flat:100", "flat:150", "flat:200", "flat:250", "tap", "section:350"])
            f.write("L%d,%s,%s,%s,%s,%s\n" % (i, cls, fare, r.choice(MODES), r.choice(["", "90", "120"]), r.choice(["", "400"])))
    rows = list(open(folder + "/lines.csv").read().splitlines())[1:]
    with open(folder + "/sections.csv", "w") as f:
        f.write("line,from_stop,to_stop,fen\n")
        for row in rows:
            if "section" in row:
                f.write("".join("%s,%d,%d,%d\n" % (row.split(",")[0], a, b, 80 + 35 * (b - a)) for a in range(1, 5) for b in range(a + 1, 6)))
    with open(folder + "/stops.csv", "w") as f:
        f.write("line,stop,m,zone\n")
        for row in rows:
            zoned = r.random() < 0.7
            if row.split(",")[2] == "class" and r.random() < 0.7:
                f.write("".join("%s,%d,%d,%s\n" % (row.split(",")[0], stop, 2500 * stop + 1300 * (stop // 3), (stop + 1) // 2 if zoned else "") for stop in range(1, r.choice([4, 6]))))
    with open(folder + "/calendar.csv", "w") as f:
        f.write("date,kind\n2024-10-01,holiday\n2025-01-01,holiday\n2025-01-26,workday\n2025-01-28,holiday\n2025-01-29,holiday\n")
        f.write("".join("2025-02-%02d,no-school\n" % d for d in range(3, 10)))
    with open(folder + "/cases.csv", "w") as f:
        f.write("case,time,line,fare_fen,subsidy_fen,absorbed_fen,rejected\n")


def riders(r, n):
    out = []
    for i in range(n):
        holds = [{"group": g, "from": "2024-01-01", "to": "2026-12-31"} for g in r.sample(["h0", "h1", "check", "both"], r.randint(0, 2))]
        for h in holds:
            if h["group"] == "h1":
                h["grade"] = r.randint(0, 4)
            if h["group"] == "check":
                h["verified_to"] = r.choice(["2024-12-31", "2025-01-20", "2025-12-31"])
            if r.random() < 0.2:
                h["to"] = "2025-01-15"
        guest, issuer = ("local", "02184280") if holds or r.random() < 0.8 else r.choice([("region", "02184281"), ("other", "04430000")])
        who = {"card": "k%d" % i, "issuer": issuer, "_guest": guest, "holds": holds, "issued": "2023-%02d-%02d" % (r.randint(1, 6), r.choice([1, 10, 15, 28]))}
        if r.random() < 0.7:
            who["birth"] = r.choice(["1950-02-10", "1960-02-29", "1955-01-20", "2007-02-03", "1990-05-05", "1999-12-31", "2008-02-29"])
        if r.random() < 0.4:
            who["product"] = r.choice(["p1", "p2", "p3"])
        if r.random() < 0.6:
            who["granted"] = r.randint(1, 9)
        out.append(who)
    return out


SOON = [1, 60, 120, 177, 180, 299, 300, 600, 899, 900, 1800, 3599, 3600, 5400, 7200]


def rides(r, n, people, lines):
    t, out, who, entered = START, [], people[0], {}
    for _ in range(n):
        who = who if r.random() < 0.7 else r.choice(people)    # a rider's rides stand together: changes come within minutes
        t += timedelta(seconds=r.choice(SOON if r.random() < 0.8 else [20000, 50000, 172800]))
        tap = dict(who)
        tap.update(time=t.strftime("%Y-%m-%dT%H:%M:%S"), line=r.choice(lines), vehicle=r.choice(["", "V1", "V2", "V3"]), medium=r.choice(MEDIA),
                   number="%s-%d" % (tap["card"], r.randint(1, 2)), list_fen=r.choice([100, 155, 300]), stop_on=r.choice([0, 1, 2, 3, 4, 5]), stop_off=r.choice([0, 0, 1, 3, 4, 5]),
                   distance_m=r.choice([0, 0, 0, 4999, 5000, 5001, 8000, 12001, 23456]), far_m=r.choice([0, 20000, 30001]), stops=r.choice([0, 0, 3]), zones=r.choice([0, 0, 2]), event=r.choice(["single", "single", "on", "off"]))
        if tap["event"] == "single" and r.random() < 0.2:
            tap["out_time"] = (t + timedelta(minutes=r.randint(1, 40))).strftime("%Y-%m-%dT%H:%M:%S")
        if tap["event"] != "on" and "out_time" not in tap and r.random() < 0.3:    # made at the end: the ride's own entry, or another
            tap["in_time"] = r.choice([entered.get(tap["card"], tap["time"]), (t - timedelta(minutes=r.randint(1, 40))).strftime("%Y-%m-%dT%H:%M:%S")])
        if tap["event"] == "on":
            entered[tap["card"]] = tap["time"]
        if r.random() < 0.2:
            tap["inside"] = True
        if r.random() < (0.6 if out and out[-1].get("escort") and out[-1]["card"] == tap["card"] else 0.12):    # an escort, often in the vehicle of the ride before
            tap.update(escort=True, number=tap["card"] + "-e", vehicle=out[-1]["vehicle"] if out and r.random() < 0.8 else tap["vehicle"])
        if r.random() < 0.1:
            tap["known"] = (t + timedelta(days=r.randint(0, 40))).strftime("%Y-%m-%d")
        if r.random() < 0.01:
            tap["line"] = "unknown"
        out.append(tap)
    return out


def compared(engine, model):
    if engine["rejected"] or model["rejected"]:
        return engine["rejected"] == model["rejected"] and engine.get("reason") == model.get("reason")
    pairs = (("published_fen", "published"), ("paid_fen", "paid"), ("fare_fen", "moved"), ("absorbed_fen", "absorbed"), ("refund_fen", "refund"),
             ("transfer", "transfer"), ("funders", "funders"))
    return all(engine[a] == model[b] for a, b in pairs)


def main():
    engine, seed, packs, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    agreed = differ = refused = taken = 0
    print("# seed %d" % seed)
    for at in range(packs):
        r = random.Random(seed * 1000003 + at)
        with tempfile.TemporaryDirectory() as folder:
            body = pack(r)
            json.dump(body, open(folder + "/pack.yaml", "w", encoding="utf-8"), ensure_ascii=False, indent=1)
            tables(r, folder)
            model = fare_model.Pack(folder)
            taps = rides(r, count, riders(r, 25), ["L%d" % i for i in range(8)])
            lines = "".join(json.dumps({k: v for k, v in t.items() if k != "_guest"}) + "\n" for t in taps)
            run = subprocess.run([engine, "tariff", "rate", folder], input=lines, capture_output=True, text=True)
            if run.returncode == 3:
                refused += 1
                if refused <= 3:
                    print("# pack %d refused: %s" % (at, run.stderr.strip().splitlines()[0].replace(folder, "")))
                continue
            states = {}
            for i, (tap, line) in enumerate(zip(taps, run.stdout.splitlines())):
                theirs, ours = json.loads(line), fare_model.rate(model, states, tap)
                taken += not theirs["rejected"]
                if compared(theirs, ours):
                    agreed += 1
                    continue
                differ += 1
                if differ <= 5:
                    kept = os.path.join(tempfile.gettempdir(), "model-%d-%d.json" % (seed, at))
                    json.dump(body, open(kept, "w", encoding="utf-8"), ensure_ascii=False, indent=1)
                    print("pack %d ride %d differs: %s\n  engine %s\n  model  %s\n  pack %s" % (at, i, json.dumps(tap), line, ours, kept))
                break
            if run.returncode != 0 or len(run.stdout.splitlines()) != len(taps):
                print("pack %d: exit %d %s" % (at, run.returncode, run.stderr[-300:]))
                differ += 1
    print("%d rides agree, %d differ, %d rides taken, %d of %d packs refused" % (agreed, differ, taken, refused, packs))
    sys.exit(differ > 0 or refused * 4 > packs)


if __name__ == "__main__":
    main()
