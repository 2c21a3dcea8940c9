"""A slow, plain model of the tariff engine, after docs/tariff.5: one ride at a time, exact fractions, no tables.

It reads packs whose YAML is written as JSON, which the strict reader takes as well, and their CSV tables. The engine
and this model must agree on every ride; where they do not, the manual decides."""
import copy, csv, json, os
from datetime import date, datetime, timedelta
from fractions import Fraction as F

FAR = date(9999, 12, 31)

def day(text, default=None): return date.fromisoformat(text) if text else default

def listed(value): return value if isinstance(value, list) else [value]
def rounded(x, how):
    """x to a whole number of units; halves of negative amounts do not occur."""
    unit = how["unit_fen"]
    q, rest = divmod(F(x) / unit, 1)
    half = {"half-up": rest >= F(1, 2), "half-down": rest > F(1, 2), "floor": False, "ceil": rest > 0,
            "half-even": rest > F(1, 2) or (rest == F(1, 2) and q % 2 == 1)}[how["mode"]]
    return int(q + half) * unit
def percent(text): return F(text.rstrip("%")) / 100
def split(whole, weights):
    """Largest remainder, ties to the first."""
    total = sum(weights)
    parts, rests = [whole * w // total for w in weights], [whole * w % total for w in weights]
    for _ in range(whole - sum(parts)):
        at = max(range(len(weights)), key=lambda i: (rests[i], -i))
        parts[at], rests[at] = parts[at] + 1, -1
    return parts
def in_slots(slots, t):
    minute = t.hour * 60 + t.minute
    for slot in slots:
        a, b = ((int(x[:2]) * 60 + int(x[3:])) for x in slot.split("-"))
        if (a <= minute < b) if a <= b else (minute >= a or minute < b): return True
    return not slots
class Pack:
    def __init__(self, folder):
        self.d = json.load(open(os.path.join(folder, "pack.yaml"), encoding="utf-8"))
        self.lines, self.sections, self.stops = (self.table(folder, name + ".csv") for name in ("lines", "sections", "stops"))
        self.calendar = {}
        for row in self.table(folder, "calendar.csv"): self.calendar.setdefault(day(row["date"]), set()).add(row["kind"])
        self.concessions = [dict(c, quota=[c["quota"]] if isinstance(c["quota"], str) else c["quota"]) if "quota" in c else c for c in self.d.get("concessions", [])]
        self.by_id = {c["id"]: c for c in self.concessions}
        self.quotas = {q["id"]: q for q in self.d.get("quotas", [])}
        self.funding = {f["id"]: f for f in self.d.get("funding", [])}
    @staticmethod
    def table(folder, name):
        path = os.path.join(folder, name)
        return list(csv.DictReader(open(path, encoding="utf-8"))) if os.path.exists(path) else []
    def get(self, name): return self.d.get(name, [])
class Refused(Exception): pass
def fresh(): return {"last": None, "other": None, "escorted": None, "window": None, "open": None, "accounts": {}}


class Rating:
    """One ride of one rider; self.s is changed only when the ride is taken."""
    def __init__(self, pack, state, tap):
        self.p, self.s, self.tap = pack, state, tap
        self.time = self.clock = datetime.fromisoformat(tap["time"])
        self.event, self.medium = tap.get("event", "single"), tap.get("medium", "card")
        self.guest, self.escort, self.escorted = tap.get("_guest", "local"), bool(tap.get("escort")), False
        self.published = 0
        if self.time < datetime.combine(day(pack.d["valid_from"]), datetime.min.time()): raise Refused("not-in-force")
        self.line = self.find_line()
        self.mode = self.line.get("mode") or "bus"
        self.see(self.time)
        self.told = datetime.fromisoformat(tap["in_time"]) if tap.get("in_time") else None
        self.closes = self.closes_open()
        self.complete = self.event != "off" or self.closes or self.told is not None
        if self.closes: self.see(self.s["open"]["time"])
        elif self.told and self.event != "on": self.see(self.told)
        out = datetime.fromisoformat(tap["out_time"]) if tap.get("out_time") else self.time
        self.end = max(out, self.time)
    def find_line(self):
        for wanted in (self.tap["line"], "*"):
            for row in self.p.lines:
                if row["line"] == wanted and day(row.get("from"), date.min) <= self.time.date() < day(row.get("to"), date.max): return row
        raise Refused("line-unknown")
    def see(self, t):
        self.clock, self.day = t, t.date()
        kinds = self.p.calendar.get(self.day, set())
        self.rest = "holiday" in kinds or (self.day.weekday() >= 5 and "workday" not in kinds)
        self.school = not self.rest and "no-school" not in kinds
        self.groups, self.lapsed = set(), []
        for g in self.p.get("groups"):
            inside, lapsed = self.in_group(g)
            if inside: self.groups.add(g["name"])
            elif lapsed: self.lapsed.append(g)
            self.escorted = self.escorted or (inside and self.escort and "escort" in g)
    def birthday(self, birth, years):
        b = self.p.d.get("birthdays", {})
        try: when = birth.replace(year=birth.year + years)
        except ValueError: when = date(birth.year + years, 2, 28) if b.get("feb29") == "feb-28" else date(birth.year + years, 3, 1)
        return when + timedelta(days=1 if b.get("counts") == "day-after" else 0)
    def in_age(self, g):
        birth = day(self.tap.get("birth"))
        if birth is None: return False
        if g.get("home") and not str(self.tap.get("home", 0)).startswith(str(g["home"])): return False
        low, high = g["age"]
        if low != "" and self.day < self.birthday(birth, int(low)): return False
        if high == "": return True
        ends = g.get("ends", "birthday")
        if ends == "birthday": return self.day < self.birthday(birth, int(high) + 1)
        last = date(birth.year + int(high), 12, 31) if ends == "year-end" else date(birth.year + int(high), int(ends[:2]), int(ends[3:]))
        return self.day <= last
    def in_group(self, g):
        ways, lapsed = [], False
        if g.get("hold") == "yes":
            good = False
            for h in self.tap.get("holds", []):
                if h["group"] != g["name"] or not day(h.get("from"), date.min) <= self.day <= day(h.get("to"), FAR): continue
                grade = h.get("grade", 0)
                if ("grade_max" in g and (grade == 0 or grade > g["grade_max"])) or grade < g.get("grade_min", 0): continue
                if g.get("check") == "yearly" and self.day > day(h.get("verified_to"), FAR): lapsed = True
                else: good = True
            ways.append(good and not self.escort)
            lapsed = lapsed and not self.escort
        if "age" in g: ways.append(self.in_age(g) and not self.escort)
        if "escort" in g: ways.append(self.escort and self.beside(g["escort"]))
        believed = self.guest in listed(g.get("marks_of", ["local"]))
        if "class" in g: ways.append(believed and self.tap.get("class", 1) in g["class"])
        if "product" in g: ways.append(believed and self.tap.get("product", "") in g["product"])
        return (all(ways) if g.get("all") == "yes" else any(ways)), lapsed
    def beside(self, minutes):
        """The person has just tapped in this vehicle, and nobody has come along with that tap yet."""
        last, vehicle = self.s["last"], self.tap.get("vehicle")
        if not last or not vehicle or last[1] != vehicle or self.s["escorted"] == last[0]: return False
        return timedelta(0) <= self.time - last[0] <= timedelta(minutes=minutes)
    def who_holds(self, c, guests):
        if "who" in c and not self.groups & set(c["who"]): return False
        if self.groups & set(c.get("who_not", [])) or self.guest not in listed(c.get("guest", guests)): return False
        return "product" not in c or self.tap.get("product", "") in c["product"]
    def static_holds(self, c):
        if "class" in c and self.line["class"] not in c["class"] or self.line["class"] in c.get("not_class", []): return False
        if "mode" in c and self.mode not in listed(c["mode"]): return False
        if "line" in c and self.tap["line"] not in c["line"] or self.tap["line"] in c.get("not_line", []): return False
        if self.published < c.get("fare_fen_min", 0) or ("fare_fen_max" in c and self.published > c["fare_fen_max"]): return False
        if self.medium not in listed(c.get("medium", self.medium)): return False
        if not day(c.get("from"), date.min) <= self.clock.date() < day(c.get("to"), date.max): return False
        if self.tap.get("known") and "published_on" in c and day(self.tap["known"]) < day(c["published_on"]): return False
        if "season" in c and not any(self.in_season(s) for s in c["season"]): return False
        return self.days_hold(c.get("days", "all")) and in_slots(c.get("hours", []), self.clock)
    def holds(self, c, guests=("local",)): return self.who_holds(c, list(guests)) and self.static_holds(c)
    def in_season(self, name):
        s = next(s for s in self.p.get("seasons") if s["name"] == name)
        today = self.day.strftime("%m-%d")
        def inside(mmdd): return any(a <= mmdd <= b if a <= b else mmdd >= a or mmdd <= b for a, b in (r.split("..") for r in s["dates"]))
        if today == "02-29": return (inside("02-28") and inside("03-01")) or (s.get("feb29") == "in" and (inside("02-28") or inside("03-01")))
        return inside(today)
    def days_hold(self, days): return {"all": True, "workday": not self.rest, "restday": self.rest, "school": self.school}[days]
    def published_fare(self, far):
        fare = self.line["fare"]
        if fare == "tap": return self.tap.get("list_fen", 0)
        if fare.startswith("flat:"): return int(fare[5:])
        if fare.startswith("section:"): return self.section(int(fare[8:]))
        for f in self.p.get("fares"):
            if not self.holds(f, ("local", "region", "other")): continue
            if "flat_fen" in f: x = f["flat_fen"]
            else:
                ridden = self.span(far)[f["by"]]
                if ridden == 0 and self.event == "single": raise Refused("no-price")
                x, start = 0, 0
                for i, step in enumerate(f["steps"]):
                    if i > 0 and ridden <= start: break
                    upto = step.get("upto", 10 ** 12)
                    part = min(ridden, upto) - start
                    x += step["fen"] * -(-part // step["each"]) if "each" in step else step["fen"]
                    start = upto
            return rounded(x, f["rounding"]) if "rounding" in f else x
        raise Refused("no-price")
    def span(self, far):
        """Ridden, or to the farther end: as the tap tells, else as the line's stops measure it."""
        at = {int(r["stop"]): (int(r["m"]), int(r["zone"] or 0)) for r in self.p.stops if r["line"] == self.line["line"]}
        on, off, o = self.tap.get("stop_on", 0), self.tap.get("stop_off", 0), self.s["open"]
        if not on and self.closes and o["line"] == self.tap["line"]: on = o["stop"]
        ends = [] if on not in at else [max(at), min(at)] if far else [off] if off in at else []
        got = [(abs(at[e][0] - at[on][0]), abs(e - on), abs(at[e][1] - at[on][1]) + 1 if at[on][1] else 0) for e in ends]
        told = [self.tap.get(k, 0) for k in ("far_m" if far else "distance_m", "stops", "zones")]
        return dict(zip(("m", "stops", "zones"), (t or g for t, g in zip(told, max(got, key=lambda x: x[0], default=(0, 0, 0))))))
    def section(self, default):
        a, b = self.tap.get("stop_on", 0), self.tap.get("stop_off", 0)
        rows = [r for r in self.p.sections if r["line"] == self.line["line"]]
        for r in rows:
            if {int(r["from_stop"]), int(r["to_stop"])} == {a, b}: return int(r["fen"])
        if a and b: raise Refused("no-price")
        touching = [int(r["fen"]) for r in rows if a in (int(r["from_stop"]), int(r["to_stop"]))]
        return max(touching) if touching else default
    def own(self): return int(self.line.get("own_fen") or 0)
    def price(self, c, base):
        p = c["price"]
        x = base
        if p == "free": x = F(0)
        elif p == "own": x = min(F(self.own() or self.published), base)
        elif isinstance(p, str) and p != "published": x = base * percent(p)
        elif isinstance(p, dict):
            if "rate" in p: x = base * percent(p["rate"])
            elif "fixed_fen" in p: x = min(F(p["fixed_fen"]), base)
            elif "minus_fen" in p: x = max(base - p["minus_fen"], F(0))
            elif "units" in p: x = min(F(p["units"] * self.p.quotas[c["quota"][0]].get("unit_fen", 0)), base)
            elif "bands" in p:
                x, start = F(0), F(0)
                for band in p["bands"]:
                    end = min(F(band.get("upto_fen", 10 ** 9)), base)
                    x += max(end - start, 0) * percent(band["rate"])
                    start = max(end, start)
                x += base - start if start < base else 0
        if "rounding" in c: x = F(rounded(x, c["rounding"]))
        if isinstance(p, dict) and p.get("at_most") == "own" and self.own(): x = min(x, F(self.own()))
        return x
    def resolve(self, c, depth=0):
        """The concession that gives the price, None for published, or False: the next rule that applies."""
        if c.get("shut") and self.days_hold(c.get("shut_days", "all")) and in_slots(c["shut"], self.clock):
            return self.instead(c["shut_price"], depth)
        if "quota" in c and min(map(self.quota_left, c["quota"])) < c.get("takes", 1): return self.instead(c["quota_empty"], depth)
        return c
    def instead(self, word, depth):
        if word == "published": return None
        if word == "other" or depth >= 2 or not self.static_holds(self.p.by_id[word]): return False
        return self.resolve(self.p.by_id[word], depth + 1)
    def choose(self, excluded=()):
        best = None
        for at, c in enumerate(self.p.concessions):
            if c["id"] in excluded or c.get("fallback_only") == "yes": continue
            if self.holds(c): got = self.resolve(c)
            else:
                lapsed = [g for g in self.lapsed if g["name"] in c.get("who", [])]
                if not lapsed or self.groups & set(c["who"]) or not self.holds({k: v for k, v in c.items() if k != "who"}): continue
                got = self.instead(lapsed[0]["lapsed"], 0)
            if got is False: continue
            price = F(self.published) if got is None else self.price(got, F(self.published))
            key = (-c.get("precedence", 0), price, got is not None and "quota" in got, at)
            if best is None or key < best[0]: best = (key, got)
        return best[1] if best else None
    def period(self, rule, account):
        per, t = rule["per"], self.clock
        if per == "day":
            cut = rule.get("fare_day_cut", self.p.d.get("fare_day_cut", "00:00"))
            return (t - timedelta(hours=int(cut[:2]), minutes=int(cut[3:]))).date()
        if per == "month": return (t.year, t.month)
        if per == "year": return t.year
        if per == "card-year":
            issued = day(self.tap.get("issued"))
            return t.year if issued is None else t.year - issued.year - ((t.month, t.day) < (issued.month, issued.day))
        if account and account[0] <= t < account[0] + timedelta(hours=int(per[:-1])): return account[0]
        return t
    def began(self, rule, period):
        """First day of a period."""
        if rule["per"] in ("month", "year"): return date(*period, 1) if rule["per"] == "month" else date(period, 1, 1)
        if rule["per"] == "card-year":
            issued = day(self.tap.get("issued"))
            return date(issued.year + period, issued.month, 1) + timedelta(days=issued.day - 1) if issued else date(period, 1, 1)
        return period.date() if isinstance(period, datetime) else period
    def key(self, rule): return rule["id"], self.tap.get("number", self.tap["card"]) if rule.get("of") == "card" else None
    def total(self, rule):
        account = self.s["accounts"].get(self.key(rule))
        return account[1] if account and account[0] == self.period(rule, account) else 0
    def add(self, rule, amount):
        account = self.s["accounts"].get(self.key(rule))
        now = self.period(rule, account)
        self.s["accounts"][self.key(rule)] = (now, (account[1] if account and account[0] == now else 0) + amount)
    def quota_left(self, name):
        q = self.p.quotas[name]
        granted = next((n for n, x in self.p.quotas.items() if x["limit"] == "granted"), None)
        limit = q["limit"] if q["limit"] != "granted" else self.tap.get("granted", 0) if name == granted else 0
        return limit - self.total(q)
    def transfer_find(self, choice):
        """(scheme, price entry or None, what the ride does to the window when it is no transfer)"""
        name = choice["id"] if choice else "published"
        for x in self.p.get("transfers"):
            if not self.holds(x) or name in x.get("not_with", []): continue
            w = self.s["window"]
            if w is None or w["scheme"] != x["id"] or not self.window_holds(x, w): return x, None, "restart"
            gap = self.clock - w["start"]
            if gap < timedelta(minutes=x.get("least_gap", 0)): return x, None, x.get("too_soon", "restart")
            if x.get("uses", 0) and w["uses"] >= x["uses"]: return x, None, x.get("used_up", "restart")
            line, vehicle = x.get("same_line", "no"), self.tap.get("vehicle", "")
            miss = line != "yes" and w["line"] == self.tap["line"] and (line == "no" or gap < timedelta(minutes=line["after"]))
            miss = miss or (x.get("same_vehicle", "no") == "no" and vehicle and vehicle in (w["vehicle"], w["first_vehicle"]))
            miss = miss or (x.get("both_taps") == "yes" and not w["complete"])
            return x, None if miss else self.transfer_price(x, choice), x.get("miss", "restart")
        return None, None, None
    def window_holds(self, x, w):
        minutes = next((h["minutes"] for h in x.get("hours_minutes", []) if in_slots(h["hours"], w["start"])), x["minutes"])
        gap = self.clock - w["start"]
        if gap < timedelta(0): return False
        if minutes == "none": return True
        limit = timedelta(minutes=minutes)
        return gap < limit or (gap == limit and x.get("included", "yes") == "yes")
    def transfer_price(self, x, choice):
        w = self.s["window"]
        for p in x.get("prices") or [{k: x[k] for k in ("pairs", "minus_fen") if k in x}]:
            if "pairs" in p and "%s-%s" % (w["mode"], self.mode) not in p["pairs"]: continue
            if "use" in p and w["uses"] + 1 not in p["use"]: continue
            if "with" in p and (choice["id"] if choice else "published") not in p["with"]: continue
            if p.get("inside") == "yes" and not self.tap.get("inside") or "minutes" in p and not self.window_holds({**x, **p, "hours_minutes": []}, w): continue
            if self.holds(p, ("local", "region", "other")): return p
        return None
    def transfer_apply(self, p, now):
        if "price" in p: return self.price(p, F(self.published))
        if p.get("up_to_dearest") == "yes": return max(now - self.s["window"]["dearest"], F(0))
        minus = p["minus_fen"]
        if isinstance(minus, dict):
            words = {"previous": self.s["window"]["published"], "own": self.published}
            minus = min(words.get(v, v) for v in minus["least"])
        return max((F(self.published) if p.get("instead") == "yes" else now) - minus, F(0))
    def transfer_remember(self, x, p, action, choice, leg, paid):
        w = self.s["window"]
        if x is None: return
        if p is None:
            if action == "close": self.s["window"] = None
            name = choice["id"] if choice else "published"
            if action == "restart" and (x.get("starts_paid") != "yes" or paid > 0) and name in x.get("starts", [name]):
                self.s["window"] = self.window(x, leg, 0)
            return
        uses, dearest = w["uses"] + 1, max(leg, w["dearest"])
        if x.get("of", "previous") == "previous" or (p.get("dearer") == "moves-window" and leg > w["dearest"]):
            self.s["window"] = self.window(x, dearest, uses)
        else:
            w.update(uses=uses, dearest=dearest, line=self.tap["line"], vehicle=self.tap.get("vehicle", ""), mode=self.mode,
                     complete=self.complete, published=self.published)
    def window(self, x, dearest, uses):
        clock = x.get("clock", "ride-end")
        word = clock.get(self.mode, "ride-end") if isinstance(clock, dict) else clock
        vehicle = self.tap.get("vehicle", "")
        return {"scheme": x["id"], "uses": uses, "start": self.end if word == "ride-end" else self.clock, "first_vehicle": vehicle,
                "dearest": dearest, "line": self.tap["line"], "vehicle": vehicle, "mode": self.mode, "complete": self.complete,
                "published": self.published}
    def ladder(self, now, choice):
        hit = None
        for l in self.p.get("ladders"):
            if (choice and choice["id"] in l.get("not_with", [])) or not self.holds(l): continue
            total, steps, hit = self.total(l), [(s["from"], percent(s["rate"])) for s in l["steps"]], l
            at = max(i for i, s in enumerate(steps) if i == 0 or total >= s[0])
            if l["reading"] == "before":
                now *= steps[at][1]
                continue
            paid, left = F(0), now
            while True:
                rate = steps[at][1]
                room = None if at + 1 == len(steps) else F(steps[at + 1][0] - total) / (rate if l["count"] == "paid" else 1)
                if room is None or left <= room: break
                paid, left, total, at = paid + room * rate, left - room, steps[at + 1][0], at + 1
            now = paid + left * rate
        return now, hit
    def cap(self, now):
        hit = None
        for c in self.p.get("caps"):
            if not self.holds(c): continue
            account = self.s["accounts"].get(self.key(c))
            began = self.began(c, self.period(c, account))
            limit = [l["fen"] for i, l in enumerate(c["limits"]) if i == 0 or began >= day(l["from"])][-1]
            left = max(limit - self.total(c), 0)
            if now > left: now, hit = left, c
        return now, hit
    def steps(self, choice, p, with_caps):
        r = self.p.d["rounding"]
        drop = p is not None and (p.get("instead") == "yes" or "price" in p)
        now, before, less, leg = F(self.published), self.published, {}, self.published
        ladder = cap = None
        for step in self.p.d["order"]:
            if step == "concession" and not drop and choice: now = self.price(choice, now)
            elif step == "transfer":
                leg = rounded(now, r)
                now = F(self.published) if drop else now
                now = self.transfer_apply(p, now) if p else now
            elif step == "ladder" and not self.escort: now, ladder = self.ladder(now, choice)
            elif step == "cap" and with_caps:
                fen, cap = self.cap(rounded(now, r))
                now = F(fen)
            elif step == "round": now = F(rounded(now, r))
            less[step] = less.get(step, 0) + before - rounded(now, r)
            before = rounded(now, r)
        if drop:
            less["transfer"] += less.get("concession", 0)
            less["concession"] = 0
        return before, less, leg, ladder, cap
    def fund(self, out, name, less, card_gap):
        f = self.p.funding[name]
        owed = {"none": 0, "lump": 0, "published": less, "card-price": card_gap}.get(f["gap"], 0)
        if f["gap"] == "unit" and less > 0:
            unit = f["unit_fen"]
            owed = unit if isinstance(unit, int) else next((fen for s, fen in unit.items() if self.in_season(s)), 0)
        if f["gap"] == "own": owed = (self.own() or self.published) - (self.published - less)
        if owed <= 0: return
        share = f["share"]
        share = list(share.items()) if isinstance(share, dict) else share
        for (name, _), part in zip(share, split(owed, [w for _, w in share] + [f.get("operator", 0)])):
            if part: out["funders"][name] = out["funders"].get(name, 0) + part
    def card_price(self, x, p):
        for name in listed(self.p.d.get("card_price", [])):
            c = self.p.by_id[name]
            if self.static_holds(c): return self.steps(c, self.transfer_price(x, c) if p else None, False)[0]
        return self.published
    def lock(self, choice):
        for l in self.p.get("locks") if not self.escorted else []:
            if l["with"] != "all" and (choice["id"] if choice else "published") not in l["with"]: continue
            vehicle, w, last = self.tap.get("vehicle", ""), self.s["window"], self.s["last"]
            if last is None: continue
            seen = [last, self.s["other"], w and (w["start"], w["first_vehicle"])]
            since = next((x[0] for x in seen if vehicle and x and x[1] == vehicle), None) if l.get("same_vehicle", "yes") == "yes" else last[0]
            if since is None or self.time < since: continue
            if l["minutes"] != "window" and self.time - since < timedelta(minutes=l["minutes"]): return l
            if l["minutes"] == "window" and w and any(w["scheme"] == x["id"] and self.window_holds(x, w) for x in self.p.get("transfers")): return l
        return None
    def ride(self, out):
        self.published = self.published_fare(False)
        choice, companion = self.choose(), self.escort
        lock = self.lock(choice)
        if lock:
            then = lock.get("then", "refuse")
            if then == "refuse": raise Refused("repeat-tap")
            companion = self.escort or then != "passenger"
            excluded = [c["id"] for c in self.p.concessions] if lock["with"] == "all" else lock["with"]
            choice = self.choose(excluded) if then == "other" else None
        x, p, action = (None, None, None) if companion else self.transfer_find(choice)
        paid, less, leg, ladder, cap = self.steps(choice, p, not companion)
        out.update(published=self.published, paid=paid, transfer=p is not None)
        if choice and self.p.funding[choice["fund"]]["gap"] == "card-price":
            self.fund(out, choice["fund"], 0, self.card_price(x, p) - paid)
        elif choice and less.get("concession", 0) > 0: self.fund(out, choice["fund"], less["concession"], 0)
        for rule, name in ((x if p else None, "transfer"), (ladder, "ladder"), (cap, "cap")):
            if rule: self.fund(out, rule["fund"], less[name], less[name])
        out["absorbed"] = self.published - paid - sum(out["funders"].values())
        for r in self.p.get("refunds"):
            if self.holds(r) and not (choice and choice["id"] in r.get("not_with", [])):
                out["refund"] = max(paid - rounded(self.published * percent(r["rate"]), self.p.d["rounding"]), 0)
                break
        if self.escorted: self.s["escorted"] = self.s["last"][0]
        if companion and not self.escort: return
        for q in choice.get("quota", []) if choice and not p else []: self.add(self.p.quotas[q], choice.get("takes", 1))
        if companion: return
        for l in self.p.get("ladders"):
            if not (choice and choice["id"] in l.get("not_with", [])) and self.holds(l):
                self.add(l, {"rides": 1, "paid": paid, "published": self.published}[l["count"]])
        for c in self.p.get("caps"):
            if paid > 0 and self.holds(c): self.add(c, paid)
        self.transfer_remember(x, p, action, choice, leg, paid)
        now, last = (self.time, self.tap.get("vehicle", "")), self.s["last"]
        self.s.update(last=now, other=last if last and last[1] != now[1] else self.s["other"])
    def open_rule(self, static=False):
        for o in self.p.get("open_rides"):
            if self.static_holds(o) if static else self.holds(o, ("local", "region", "other")): return o
        return None
    def closes_open(self):
        o = self.s["open"]
        if self.event != "off" or self.escort or o is None or self.time < o["time"] or (self.told and self.told != o["time"]): return False
        rule = self.open_rule(static=True)
        return rule is None or rule.get("same_line", "no") == "no" or o["line"] == self.tap["line"]
    def unfinished(self, out):
        o = self.s["open"]
        if o is None: return
        self.s["open"], out["published"] = None, out["published"] + o["owed"]
        out["paid"] += o["owed"]
        out["moved"] += o["owed"] - o["hold"]
        for c in self.p.get("caps"):
            if c.get("count_unfinished") == "yes" and o["owed"] > 0 and self.holds(c): self.add(c, o["owed"])
    def board(self, out):
        rule, hold, owed = self.open_rule(), 0, 0
        if rule:
            word = rule.get("hold", "none")
            hold = int(self.line.get("hold_fen") or 0) if word == "max" else 0 if word == "none" else word
            word = rule.get("unfinished", "none")
            owed = 0 if word == "none" else hold if word == "keep-hold" else word
            if word == "far-end":
                try: owed = self.published_fare(True)
                except Refused: owed = 0
            if owed > 0:
                self.published = owed
                choice = self.choose()
                owed = 0 if choice and choice["id"] in rule.get("unfinished_free_with", []) else owed
        self.s["open"] = {"time": self.time, "line": self.tap["line"], "stop": self.tap.get("stop_on", 0), "hold": hold, "owed": owed}
        out["moved"] += hold
    def rate(self):
        out = {"rejected": False, "published": 0, "paid": 0, "absorbed": 0, "moved": 0, "refund": 0, "transfer": False, "funders": {}}
        if self.event == "on":
            if self.escort: return out
            self.unfinished(out)
            self.board(out)
            return out
        if self.closes:
            o, rule = self.s["open"], self.open_rule()
            if rule and rule.get("complete_within") and self.time - o["time"] > timedelta(minutes=rule["complete_within"]):
                self.unfinished(out)
                return out
        self.ride(out)
        out["moved"] = out["paid"]
        if self.closes:
            out["moved"] -= self.s["open"]["hold"]
            self.s["open"] = None
        elif not self.escort and (self.event == "single" or self.told): self.unfinished(out)
        return out

def rate(pack, states, tap):
    state = states.setdefault(tap["card"], fresh())
    kept = copy.deepcopy(state)
    try: out = Rating(pack, kept, tap).rate()
    except Refused as why: return {"rejected": True, "reason": str(why)}
    states[tap["card"]] = kept
    return out
