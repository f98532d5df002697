"""How endpoints and servers' text are shown: nothing secret, nothing that can forge a log line."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlflow_otel import wording

SHOWN = {
    "http://localhost:4317": "http://localhost:4317",
    "https://otlp.example.com/v1/traces": "https://otlp.example.com/v1/traces",
    "https://eu1.example.com/otlp-http/OtelTraces/v1/traces": "https://eu1.example.com/otlp-http/OtelTraces/v1/traces",
    "https://ann:pw@example.com:4318/v1/traces": "https://example.com:4318/v1/traces",
    "ann:pw@example.com:4317": "example.com:4317",
    "https://example.com/v1/traces?api-key=k-1#part": "https://example.com/v1/traces",
    "https://example.com/ingest/a81bc81b-dead-4e5d-abff-90865d1e13b1/v1/traces": "https://example.com/ingest/…/v1/traces",
    "https://example.com/glc_eyJvIjoiMTIz/v1/traces": "https://example.com/…/v1/traces",
    "https://example.com/SECRETTOKEN": "https://example.com/…",
    "https://ann:p/w@example.com/v1/traces": "https://…",
    "https://ann:12/34@example.com/v1/traces": "https://…",
    "https://ann:12?34@example.com/v1/traces": "https://…",
    "http://[::1]:4317": "http://[::1]:4317",
    "unix:/run/user/1000/otel.sock": "unix:/run/user/1000/otel.sock",
    "unix:///run/otel.sock": "unix:///run/otel.sock",
    "dns:///collector.svc:4317": "dns:///collector.svc:4317",
    "ipv4:127.0.0.1:4317": "ipv4:127.0.0.1:4317",
    "jaeger+http://ann:pw@host:16686": "jaeger+http://host:16686",
    "localhost:4317": "localhost:4317",
    "": "…",
    "http://host\nERROR forged": "http://…",
}


@pytest.mark.parametrize(("url", "shown"), SHOWN.items())
def test_an_endpoint_is_shown_without_what_may_be_secret(url, shown):
    assert wording.endpoint(url) == shown


SECRETS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zs", "Zl", "Zp"]), min_size=8, max_size=40
)


@settings(max_examples=60)
@given(SECRETS, SECRETS)
def test_whatever_user_password_or_query_value_an_endpoint_has_is_not_shown(one, other):
    assume(not {one, other} & set("http example"))
    for user, password in ((one, other), (quote(one, safe=""), quote(other, safe=""))):
        url = f"http://{user}:{password}@example.com:4318/v1/traces?key={quote(one, safe='')}"
        assert wording.endpoint(url) in {"http://example.com:4318/v1/traces", "http://…"}


@settings(max_examples=60)
@given(SECRETS, st.text(max_size=30), st.text(max_size=30))
def test_a_configured_headers_value_is_hidden_in_what_a_server_says(secret, before, after):
    assume(secret.lower() not in (before + after).lower())
    secrets = wording.secrets_of("http://localhost", [("authorization", f"Bearer {secret}")])
    for said in (f"{before} {secret} {after}", f"{before} Bearer {quote(secret)} {after}"):
        shown = wording.server_text(said, secrets)
        assert secret.lower() not in shown.lower()


def test_the_password_inside_of_basic_authentication_is_hidden_too():
    pair = base64.b64encode(b"ann:pa55word").decode()
    secrets = wording.secrets_of("http://host", [("authorization", f"Basic {pair}")])
    shown = wording.server_text(f"user ann with password pa55word ({pair}) is unknown", secrets)
    assert shown == "user … with password … (…) is unknown"


def test_what_an_endpoint_hides_is_hidden_in_an_errors_text():
    secrets = wording.secrets_of("https://ann:pa%2055@host/tok3n-abc/v1/traces?key=k3y-value")
    said = "no route to ann:pa%2055@host, pa 55, /tok3n-abc/v1/traces?key=k3y-value"
    shown = wording.server_text(said, secrets)
    assert not any(secret in shown for secret in ("ann", "pa%2055", "pa 55", "tok3n", "k3y"))


def test_a_secret_that_a_server_cut_short_is_hidden_too():
    secrets = wording.secrets_of("http://host", [("api-key", "sk-live-0123456789abcdef")])
    assert wording.server_text('bad key "sk-live-0123456..."', secrets) == 'bad key "…"'


def test_a_short_header_value_is_hidden_where_it_stands_alone_and_other_words_stay_whole():
    secrets = wording.secrets_of("http://host", [("tenant", "a")])
    assert wording.server_text("tenant a is unavailable", secrets) == "tenant … is unavailable"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (("x-scope-orgid", "0"), "could not connect after 0 ms"),
        (("x-tenant", "404"), "404 Not Found"),
        (("x-mlflow-experiment-id", "0"), "could not connect after 0 ms"),
        (("X-MLflow-Experiment-Id", "123456789"), "No Experiment with id=123456789 exists"),
    ],
)
def test_a_header_that_is_no_secret_leaves_no_gap_in_a_message(header, said):
    secrets = wording.secrets_of("http://localhost:5000", [header])
    assert wording.server_text(said, secrets) == said


@settings(max_examples=60)
@given(st.one_of(st.text(), st.binary()), st.integers(2, 50))
def test_a_servers_text_is_one_short_line(said, limit):
    shown = wording.server_text(said, limit=limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    shown.encode()


def test_a_secret_at_the_end_of_what_is_searched_is_not_shown_in_part():
    secret = "s" * 7 + "-0123456789" * 4
    said = secret + " " + (secret + " ") * 3000
    assert "0123" not in wording.server_text(said, [secret], limit=10**6)
