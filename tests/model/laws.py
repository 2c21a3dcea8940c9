"""Laws every set of fare rules obeys, whatever they say: laws.py ENGINE SEED PACKS RIDES. Random packs and rides are those
of compare.py; each law changes them in a way whose effect on every fare is known, and says how many rides kept it."""
import json
import os
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare

MONEY = ("published_fen", "paid_fen", "fare_fen", "absorbed_fen", "refund_fen")


class World:
    """A pack's files and the taps, as text, so that a law may rewrite both."""

    def __init__(self, seed):
        r = random.Random(seed)
        with tempfile.TemporaryDirectory() as folder:
            body = compare.pack(r)
            compare.tables(r, folder)
            self.files = {name: open(os.path.join(folder, name)).read() for name in os.listdir(folder)}
        self.files["pack.yaml"] = json.dumps(body, ensure_ascii=False, indent=1)
        self.taps = [{k: v for k, v in t.items() if k != "_guest"} for t in compare.rides(r, RIDES, compare.riders(r, 25), ["L%d" % i for i in range(8)])]

    def rate(self, files=None, taps=None):
        """What the engine says of each tap; None: the pack is refused."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (files or self.files).items():
                open(os.path.join(folder, name), "w").write(text)
            lines = "".join(json.dumps(t) + "\n" for t in (self.taps if taps is None else taps))
            run = subprocess.run([ENGINE, "tariff", "rate", folder], input=lines, capture_output=True, text=True)
            return None if run.returncode == 3 else [json.loads(line) for line in run.stdout.splitlines()]


def money(fare): return [fare[k] for k in MONEY] + [fare["funders"], fare["transfer"]] if not fare["rejected"] else fare["reason"]


def alone(w, fares):
    """Other riders' taps, taken away, change nobody's fares."""
    for part in (0, 1):
        mine = [int(t["card"][1:]) % 2 == part for t in w.taps]
        yield from zip((money(f) for f, m in zip(fares, mine) if m), map(money, w.rate(taps=[t for t, m in zip(w.taps, mine) if m])), strict=True)


def prefix(w, fares):
    """What comes later changes nothing of what came before."""
    yield from zip(map(money, fares[:RIDES // 3]), map(money, w.rate(taps=w.taps[:RIDES // 3])), strict=True)


def renamed(w, fares):
    """Lines and vehicles may be called anything."""
    files = {name: re.sub(r"\bL(?=\d\b)", "线", text) for name, text in w.files.items()}
    taps = [dict(t, line=re.sub("^L", "线", t["line"]), vehicle=t["vehicle"] and "赣B" + t["vehicle"]) for t in w.taps]
    yield from zip(map(money, fares), map(money, w.rate(files, taps)), strict=True)


def shifted(w, fares):
    """The calendar of twenty-eight years later is the same one, so are all fares."""
    later = lambda text: re.sub(r"\b((?:19|20)\d\d)(-\d\d-\d\d)", lambda m: "%d%s" % (int(m[1]) + 28, m[2]), text)
    yield from zip(map(money, fares), map(money, w.rate({n: later(t) for n, t in w.files.items()}, json.loads(later(json.dumps(w.taps))))), strict=True)


def doubled(w, fares):
    """Twice every price, amount and unit of rounding is twice every fare."""
    def twice(node, key="", parent=None):
        if isinstance(node, dict):
            paid = node.get("count") in ("paid", "published")
            return {k: [dict(s, **{"from": s["from"] * 2}) for s in v] if k == "steps" and paid else twice(v, k) for k, v in node.items()}
        if isinstance(node, list): return [twice(v, key) for v in node]
        return node * 2 if type(node) is int and ("fen" in key or key in ("hold", "unfinished", "least", "warm", "winter")) else node
    body = twice(json.loads(w.files["pack.yaml"]))
    files = dict(w.files, **{"pack.yaml": json.dumps(body, ensure_ascii=False)})
    files["lines.csv"] = "".join(",".join(re.sub(r"\d+$", lambda m: str(int(m[0]) * 2), c) if i in (2, 4, 5) else c for i, c in enumerate(line.split(","))) + "\n"
                                 for line in w.files["lines.csv"].splitlines())
    files["sections.csv"] = re.sub(r"\d+$", lambda m: str(int(m[0]) * 2), w.files["sections.csv"], flags=re.M)
    total = lambda f, times: [f[k] * times for k in ("published_fen", "paid_fen", "fare_fen", "refund_fen")] if not f["rejected"] else f["reason"]
    yield from zip((total(f, 2) for f in fares), (total(f, 1) for f in w.rate(files, [dict(t, list_fen=t["list_fen"] * 2) for t in w.taps])), strict=True)


def whole(w, fares):
    """What the rider, the treasuries and the operator have is the published fare."""
    for f in fares:
        if not f["rejected"]: yield f["published_fen"], f["paid_fen"] + sum(f["funders"].values()) + f["absorbed_fen"]


ENGINE, SEED, PACKS, RIDES = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
print("# seed %d" % SEED)
worlds = [(seed, w, w.rate()) for seed in range(SEED, SEED + PACKS) for w in [World(seed)]]
worlds = [x for x in worlds if x[2] is not None]
broken = len(worlds) * 4 < PACKS * 3
if broken: print("not ok - three random packs of four compile (%d of %d)" % (len(worlds), PACKS))
for law in (whole, alone, prefix, renamed, shifted, doubled):
    kept, failed = 0, []
    for seed, w, fares in worlds:
        pairs = list(law(w, fares))
        bad = [at for at, (a, b) in enumerate(pairs) if a != b]
        kept += len(pairs) - len(bad)
        if bad or not pairs: failed.append("seed %d ride %s: %s" % (seed, bad[:1], pairs[bad[0]] if bad else "no rides"))
    print("%s - %s (%d rides)" % ("not ok" if failed else "ok", law.__doc__, kept), *failed[:3], sep="\n  ")
    broken = broken or bool(failed)
sys.exit(broken)
