#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`pagoda partition simulate`: what holds of its figures by definition or by theorem. simulate.py PAGODA. Prints TAP."""
import json
import os
import subprocess
import sys
import tempfile

PAGODA = os.path.abspath(sys.argv[1])


def run(*words):
    return subprocess.run([PAGODA, "partition", *words], capture_output=True, text=True, timeout=60)


def simulate(*words):
    with tempfile.TemporaryDirectory(prefix="pagoda-partition-") as folder:
        path = os.path.join(folder, "figures.json")
        done = run("simulate", "--requests", "200000", "--memory", "32M", "--json", path, *words)
        if done.returncode or done.stderr:
            raise AssertionError(done.stderr)
        with open(path, encoding="utf-8") as f:
            figures = json.load(f)
    for served in figures["served"]:
        del served["processor_seconds"]
    return figures


def linear_lists_and_trees_find_the_same():
    """Only the search differs. Twice the same stream gives the same figures; another seed does not."""
    tree, again, linear = simulate(), simulate(), simulate("--linear")
    other = simulate("--seed", "2")
    wrong = [] if tree == again else ["the same stream, other figures"]
    wrong += ["--seed changes nothing"] if tree["served"][0]["failed"] == other["served"][0]["failed"] else []
    for a, b in zip(tree["served"], linear["served"]):
        steps = a.pop("search_steps"), b.pop("search_steps")
        if a != b:
            wrong.append("%s: list and tree differ" % a["memory"])
        if a["memory"] in ("best", "worst") and not steps[0] * 10 < steps[1]:
            wrong.append("%s: %d steps in a tree, %d in a list" % (a["memory"], *steps))
    return wrong


def fifty_percent_rule_holds():
    """Knuth, vol. 1, 2.5: lifetimes are exponential, so any block is as likely to go as another."""
    wrong = []
    for sizes in "uniform", "exponential", "bimodal":
        for served in simulate("--sizes", sizes)["served"][:4]:
            ratio = served["holes_per_block"] / served["fifty_percent_rule"]
            if not 0.96 < ratio < 1.04:
                wrong.append("%s, %s: %.3f of the rule" % (sizes, served["memory"], ratio))
    return wrong


def samples_add_up():
    """R3: memory is what was asked for and what is free; a hole is part of that."""
    wrong = []
    figures = simulate("--load", "1.5")
    for served in figures["served"]:
        fit = served["memory"] != "paging"
        for s in served["samples"]:
            all_ = s["asked_bytes"] + s["free_bytes"]
            if fit and (all_ != figures["memory_bytes"] or not s["largest_hole_bytes"] <= s["free_bytes"] or
                        not s["unusable_bytes"] <= s["free_bytes"] or s["holes"] > s["blocks"] + 1):
                wrong.append("%s: %s" % (served["memory"], s))
            if not fit and not all_ < figures["memory_bytes"] < all_ + 4096 * s["blocks"]:
                wrong.append("paging: %s" % s)
        if not 1 < len(served["samples"]) <= 200:
            wrong.append("%d samples" % len(served["samples"]))
        if fit and not 0 < served["scattered"] <= served["failed"]:
            wrong.append("%s: failures %d" % (served["memory"], served["failed"]))
        if not fit and served["scattered"]:
            wrong.append("paging: scattered")
    return wrong


def light_load_is_served_whole():
    """A third of the memory asked for: nobody fails; what is there is load * memory; half a page is lost to a request."""
    wrong = []
    for served in simulate("--load", "0.3")["served"]:
        used = served["asked_bytes_mean"] / (32 << 20)
        if served["failed"] or not 0.28 < used < 0.32:
            wrong.append("%s: %d failed, %.3f used" % (served["memory"], served["failed"], used))
        lost = (served["given_bytes_mean"] - served["asked_bytes_mean"]) / served["blocks_mean"]
        if served["memory"] == "paging" and not 1940 < lost < 2140:  # (4096 - 16) / 2 of sizes in 16 bytes
            wrong.append("paging: %.0f bytes a request" % lost)
    return wrong


def mistakes_are_one_line_and_status_2():
    wrong = []
    for words, says in ((("run", "jobs"), "not there yet"), (("simulate", "--fit", "first,middle"), "middle"),
                        (("simulate", "--fit", "best,best"), "twice"), (("simulate", "--memory", "5000001"), "--memory"),
                        (("simulate", "--requests", "0"), "--requests"), (("simulate", "--sizes", "odd"), "odd"),
                        (("simulate", "--load", "nan"), "--load"), (("simulate", "--seed"), "--seed"),
                        (("simulate", "--speed", "1"), "--speed"), (("simulate", "--json="), "--json"), ((), "simulate"),
                        (("simulate", "--requests", "1000", "--json", "/no/such/file"), "/no/such/file")):
        done = run(*words)
        if done.returncode != 2 or done.stderr.count("\n") != 1 or says not in done.stderr:
            wrong.append("%s: %d, %s" % (words, done.returncode, done.stderr))
    return wrong


def main():
    cases = [linear_lists_and_trees_find_the_same, fifty_percent_rule_holds, samples_add_up, light_load_is_served_whole,
             mistakes_are_one_line_and_status_2]
    print("1..%d" % len(cases))
    failed = 0
    for number, case in enumerate(cases, 1):
        try:
            wrong = case()
        except (AssertionError, KeyError, ValueError, subprocess.TimeoutExpired) as e:
            wrong = [repr(e)]
        failed += bool(wrong)
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, case.__name__))
        for line in wrong[:20]:
            print("# " + line.strip())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
