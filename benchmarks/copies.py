"""Traces that lie in Jaeger and in MLflow's database, several times: an app would need half an hour for them."""

from __future__ import annotations

import json
import re
import sqlite3

import httpx

AT_ONCE = 100
"""Traces of one OTLP request."""
TIMES = re.compile(r'("(?:start|end)?[tT]imeUnixNano": ?")(\d+)(")')
SESSION = re.compile(r'"s-(\d+)"')
ID = "'tr-' || substr({0}, 4 + :copy) || substr({0}, 4, :copy)"
"""A copy's ID: the digits turned round. Digits put in place of others would be some trace's own."""
COLUMNS = {
    "trace_info": {
        "request_id": ID.format("request_id"),
        "timestamp_ms": "timestamp_ms - :millis",
        "session_id": "session_id || '-' || :copy",
        "request_preview": "replace(request_preview, 'needle', 'hay')",
    },
    "trace_tags": {"request_id": ID.format("request_id")},
    "trace_request_metadata": {
        "request_id": ID.format("request_id"),
        "value": "replace(case key when 'mlflow.trace.session' then value || '-' || :copy "
        "else value end, 'needle', 'hay')",
    },
    "spans": {
        "trace_id": ID.format("trace_id"),
        "start_time_unix_nano": "start_time_unix_nano - :millis * 1000000",
        "end_time_unix_nano": "end_time_unix_nano - :millis * 1000000",
        "content": "replace(content, 'needle', 'hay')",
    },
}
"""Tables of MLflow's database with rows of a trace, and what another trace has instead."""
GENERATED = {"duration_ns"}
"""Columns that the database works out itself."""


def in_database(path, copies):
    """Copy every trace of MLflow's SQLite database, and return by how many milliseconds each copy is older."""
    with sqlite3.connect(path) as database:
        ids = [row[0] for row in database.execute("select request_id from trace_info")]
        first, last = database.execute(
            "select min(timestamp_ms), max(timestamp_ms) from trace_info"
        ).fetchone()
        for table, changed in COLUMNS.items():
            names = [row[1] for row in database.execute(f"pragma table_info({table})")]
            names = [name for name in names if name not in GENERATED]
            values = ", ".join(changed.get(name, name) for name in names)
            key = "trace_id" if table == "spans" else "request_id"
            database.execute(f"create temp table ids_{table} as select * from {table}")
            for copy in range(1, copies):
                database.execute(
                    f"insert into {table} ({', '.join(names)}) select {values} "
                    f"from ids_{table} where {key} is not null",
                    {"copy": copy, "millis": copy * (last - first + 1000)},
                )
    return ids, last - first + 1000


def in_jaeger(query, otlp, ids, copies, millis):
    """Copy traces of Jaeger: as it gives them, with other IDs, times and sessions."""
    with httpx.Client(timeout=60) as http:
        for start in range(0, len(ids), AT_ONCE):
            part = [one.removeprefix("tr-") for one in ids[start : start + AT_ONCE]]
            held = {one: http.get(f"{query}/api/v3/traces/{one}").text for one in part}
            for copy in range(1, copies):
                spans = []
                for identity, text in held.items():
                    told = json.loads(_copied(text, identity, copy, copy * millis))
                    spans += told["result"]["resourceSpans"]
                taken = http.post(f"{otlp}/v1/traces", json={"resourceSpans": spans})
                taken.raise_for_status()


def _copied(text, identity, copy, millis):
    text = text.replace(identity, identity[copy:] + identity[:copy]).replace("needle", "hay")
    text = SESSION.sub(rf'"s-\1-{copy}"', text)
    return TIMES.sub(lambda found: f"{found[1]}{int(found[2]) - millis * 10**6}{found[3]}", text)
