"""Answers the questions of the benchmark by SQLite, and times them itself.

Each line of the input is a JSON object: {"script": [statements]} runs these,
{"load": file} reads lines of an id, a tab and an object, {"rows": query,
"params": list} returns the rows, {"time": query, "calls": [params, ...],
"seconds": n} repeats it for so long. A line of the output answers each.
"""
import itertools
import json
import sqlite3
import sys
import time


def load(db, path):
    with open(path, encoding="utf-8") as lines:
        db.execute("BEGIN")
        db.executemany("INSERT INTO objects VALUES (?, ?)", (line.rstrip("\n").split("\t", 1) for line in lines))
        db.execute("COMMIT")


def timed(db, query, calls, seconds):
    execute, clock = db.execute, time.perf_counter
    start, n = clock(), 0
    for params in itertools.cycle(calls):
        execute(query, params).fetchall()
        n += 1
        took = clock() - start
        if took >= seconds:
            return {"calls": n, "seconds": took}


def answer(db, ask):
    if "script" in ask:
        for statement in ask["script"]:
            db.execute(statement).fetchall()
        return {"version": sqlite3.sqlite_version}
    if "load" in ask:
        load(db, ask["load"])
        return {}
    if "rows" in ask:
        return {"rows": db.execute(ask["rows"], ask["params"]).fetchall()}
    return timed(db, ask["time"], ask["calls"], ask["seconds"])


def main():
    db = sqlite3.connect(sys.argv[1], isolation_level=None)
    for line in sys.stdin:
        try:
            reply = answer(db, json.loads(line))
        except (sqlite3.Error, OSError, ValueError) as fault:
            reply = {"error": str(fault)}
        print(json.dumps(reply), flush=True)


main()
