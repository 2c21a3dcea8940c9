"""Golden tests: rate.py ENGINE FOLDER... rates taps.txt of each folder under its pack and compares with expect.txt.

taps.txt: `#` begins a comment; `乘客 NAME key=value ...` says what every tap of a rider carries, with holds as
group:grade@from..to, separated by commas; `DATE TIME NAME LINE key=value ...` is a tap. Keys are those of tariff(5).
expect.txt: a line for each tap: published = rider + treasuries + 企业 (the operator), what was taken where that is another
sum than what is owed, what is returned next month, and the rules with what each took off."""
import difflib
import json
import os
import subprocess
import sys

NUMBERS = {"stop_on", "stop_off", "distance_m", "far_m", "stops", "zones", "granted", "list_fen", "home", "class"}
REFUSED = {"repeat-tap": "重复刷卡", "line-unknown": "没有这条线路", "no-price": "没有票价", "not-in-force": "规则尚未生效"}


def hold(text, verified_to):
    name, _, days = text.partition("@")
    group, _, grade = name.partition(":")
    out = {"group": group}
    if grade:
        out["grade"] = int(grade)
    if days:
        out["from"], out["to"] = days.split("..")
    if verified_to:
        out["verified_to"] = verified_to
    return out


def members(words):
    out = dict(w.split("=", 1) for w in words)
    verified_to = out.pop("verified_to", None)
    if "holds" in out:
        out["holds"] = [hold(h, verified_to) for h in out["holds"].split(",")]
    return {k: int(v) if k in NUMBERS else v for k, v in out.items()}


def taps(lines):
    riders = {}
    for line in lines:
        words = line.partition("#")[0].split()
        if words and words[0] == "乘客":
            riders[words[1]] = members(words[2:])
        elif words:
            day, time, name, route = words[:4]
            yield json.dumps({**riders[name], "card": name, "time": day + "T" + time, "line": route, **members(words[4:])}, ensure_ascii=False)


def yuan(fen): return "%d.%02d" % divmod(fen, 100)


def signed(fen): return " " + ("-" if fen < 0 else "+") + yuan(abs(fen)) if fen else ""


def fare(f):
    rules = "、".join(r["title"] + signed(r["delta_fen"]) for r in f["rules"])
    if f["rejected"]:
        return ["拒刷 " + REFUSED[f["reason"]]] + [rules] * bool(rules)
    parts = [("乘客", f["paid_fen"])] + list(f["funders"].items()) + [("企业", f["absorbed_fen"])] * bool(f["absorbed_fen"])
    out = ["%s = %s" % (yuan(f["published_fen"]), " + ".join("%s %s" % (who, yuan(fen)) for who, fen in parts))]
    if f["fare_fen"] != f["paid_fen"]:
        out.append("本次%s %s" % ("扣" if f["fare_fen"] > 0 else "退", yuan(abs(f["fare_fen"]))))
    if f["refund_fen"]:
        out.append("次月退 " + yuan(f["refund_fen"]))
    return out + [rules or "票面价"]


def seen(engine, folder):
    """The lines of expect.txt as the engine would have them."""
    with open(os.path.join(folder, "taps.txt"), encoding="utf-8") as source:
        read = list(taps(source))
    run = subprocess.run([engine, "tariff", "rate", os.path.join(folder, "pack")], input="\n".join(read), capture_output=True, text=True)
    if run.returncode != 0:
        return run.stderr.splitlines()
    out = []
    for tap, line in zip(map(json.loads, read), run.stdout.splitlines(), strict=True):
        out.append(" | ".join([" ".join([*tap["time"].split("T"), tap["card"], tap["line"]])] + fare(json.loads(line))))
    return out


def text(*path):
    with open(os.path.join(*path), encoding="utf-8") as source:
        return source.read().splitlines()


def main(engine, folders):
    bad = 0
    for folder in folders:
        want, got = text(folder, "expect.txt"), seen(engine, folder)
        title = next(line[7:] for line in text(folder, "pack", "pack.yaml") if line.startswith("title: "))
        told = all(any(line.startswith(word) for line in text(folder, "taps.txt")) for word in ("# 规则: ", "# 手算: "))
        good = want == got and len(want) > 1 and told
        bad += not good
        print("ok" if good else "not ok", "-", os.path.basename(folder.rstrip("/")) + ":", title, *([] if good else difflib.unified_diff(want, got, "expected", "seen", "", "", 0, "")), sep=" " if good else "\n")
    return bad


sys.exit(main(sys.argv[1], sys.argv[2:]) > 0)
