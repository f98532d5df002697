"""Our rules beside MLflow's own functions, on many random cases. Runs where the full mlflow is installed.

Prints one JSON object: how many cases there were, and those in which the two differ.
"""

from __future__ import annotations

import json
import random
from types import SimpleNamespace

from mlflow.genai.scorers.online.sampler import OnlineScorerSampler
from mlflow.utils.search_utils import SearchTraceUtils

from mlflow_otel.filtering.grammar import FilterError, parse
from mlflow_otel.filtering.matching import TraceValues, matches
from mlflow_otel.scoring.sampling import Rate, chosen

CASES = 3000
KEYS = (
    "status",
    "name",
    "trace.name",
    "tags.a",
    "tag.`b c`",
    'metadata."m.n"',
    "metadata.m.n",
    "client_request_id",
    "attributes.request_id",
    "run_id",
)
COMPARATORS = ("=", "!=", "LIKE", "ILIKE", "like")
LEFT = ("a", "b c", "m.n", "mlflow.traceName", "mlflow.sourceRun")


def text(chance):
    return "".join(chance.choice("abAB%_. ") for _ in range(chance.randrange(4)))


def clause(chance):
    key = chance.choice(KEYS)
    if chance.random() < 0.15:
        return f"{key} {chance.choice(['IS NULL', 'IS NOT NULL', 'is null'])}"
    if chance.random() < 0.15:
        return f"{key} {chance.choice(['IN', 'NOT IN'])} ('{text(chance)}', '{text(chance)}')"
    return f"{key} {chance.choice(COMPARATORS)} '{text(chance)}'"


def filtered(chance):
    clauses = [clause(chance) for _ in range(chance.randrange(1, 3))]
    filter_string = " AND ".join(clauses)
    tags, metadata = (
        {key: text(chance) for key in LEFT if chance.random() < 0.6} for _ in range(2)
    )
    values = {"status": chance.choice(["OK", "a"]), "request_id": "ab", "client_request_id": None}
    theirs = SimpleNamespace(tags=tags, request_metadata=metadata, **values)
    try:
        for one in clauses:  # MLflow looks at a clause only where those before it are met
            SearchTraceUtils.filter([theirs], one)
        expected = bool(SearchTraceUtils.filter([theirs], filter_string))
    except Exception as error:
        expected = type(error).__name__
    try:
        found = matches(parse(filter_string), TraceValues(values, tags, metadata))
    except FilterError:
        found = "MlflowException"
    return None if found == expected else [filter_string, tags, metadata, found, expected]


def sampled(chance):
    rates = {
        f"s{n}": chance.choice([0.0, 0.1, 0.25, 0.5, chance.random(), 1.0])
        for n in range(chance.randrange(1, 5))
    }
    trace_id = f"tr-{chance.getrandbits(128):032x}"
    theirs = OnlineScorerSampler([])
    theirs._sample_rates = rates
    expected = [s.name for s in theirs.sample(trace_id, [SimpleNamespace(name=n) for n in rates])]
    found = chosen(trace_id, [Rate(name, rate) for name, rate in rates.items()])
    return None if list(found) == expected else [rates, trace_id, found, expected]


def main():
    chance = random.Random(17)
    differ = [
        difference
        for compare in (filtered, sampled)
        for _ in range(CASES)
        if (difference := compare(chance)) is not None
    ]
    print(json.dumps({"cases": 2 * CASES, "differ": differ[:20]}))


if __name__ == "__main__":
    main()
