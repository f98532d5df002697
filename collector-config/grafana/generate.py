"""The dashboards, as tables of panels; writes their JSON: ``make dashboards``.

Built with Grafana's Foundation SDK. ``job`` is the service (``service.name``), as the Collector's
Prometheus exporter has it. Users and sessions come from the traces: they are in no metric's labels.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, table, tempo, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DataTransformerConfig,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="prometheus")
TEMPO: Final = DataSourceRef(type_val="tempo", uid="tempo")
EVERY: Final = VariableOption(selected=True, text=["All"], value=["$__all"])
HERE: Final = 'job=~"$service"'
TRACES: Final = 'resource.service.name =~ "$service"'


class Panel(NamedTuple):
    """One panel.

    Args:
        title: What it shows.
        kind: ``lines``, ``number``, ``heatmap`` (PromQL); ``traces`` (a TraceQL search),
            ``trace lines`` and ``trace number`` (TraceQL metrics; the number counts the series).
        unit: Grafana's name of it.
        queries: Expressions by legend.
        about: What to make of it.
        width: Of 24.
    """

    title: str
    kind: str
    unit: str
    queries: dict[str, str]
    about: str = ""
    width: int = 12


def rate(metric: str | tuple[str, ...], by: str = "", where: str = "") -> str:
    """Return the summed rate of a counter; of several names, those that are there."""
    if isinstance(metric, tuple):
        return " or ".join(rate(one, by, where) for one in metric)
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{{HERE}{where}}}[$__rate_interval]))"


def quantile(share: float, metric: str | tuple[str, ...], by: str = "", where: str = "") -> str:
    """Return a quantile of a histogram; of several names, those that are there."""
    if isinstance(metric, tuple):
        return " or ".join(quantile(share, one, by, where) for one in metric)
    return f"histogram_quantile({share}, {rate(metric + '_bucket', ', '.join(filter(None, ('le', by))), where)})"


# Each in the names of released conventions first, then of the newest (OTEL_SEMCONV_STABILITY_OPT_IN).
CALLS: Final = (
    "gen_ai_client_operation_duration_seconds",
    "gen_ai_client_inference_duration_seconds",
    "gen_ai_client_embeddings_duration_seconds",
)


def tokens() -> str:
    """Return the rate of tokens by model and type: one histogram, or a counter each."""
    counters = (
        f"""label_replace({rate(f"gen_ai_client_inference_usage_{kind}_tokens_total", "gen_ai_request_model")}, "gen_ai_token_type", "{kind}", "", "")"""
        for kind in ("input", "output")
    )
    by_type = rate("gen_ai_client_token_usage_sum", "gen_ai_request_model, gen_ai_token_type")
    return " or ".join((by_type, *counters))


COUNTED: Final = tuple(f"{name}_count" for name in CALLS)
FIRST_CHUNK: Final = (
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "gen_ai_client_inference_time_to_first_chunk_seconds",
)
NEGATIVE: Final = ', gen_ai_evaluation_score_label="false"'
RUNS: Final = "mlflow_otel_scorer_runs_total"
SCORER: Final = "mlflow_scorer_name"
JUDGED: Final = ', gen_ai_evaluation_score_label=~"true|false"'

DASHBOARDS: Final[dict[str, tuple[str, list[tuple[str, list[Panel]]]]]] = {
    "operations": (
        "MLflow apps: operations",
        [
            (
                "Requests",
                [
                    Panel(
                        "Requests",
                        "lines",
                        "reqps",
                        {
                            "{{mlflow_trace_state}}": rate(
                                "mlflow_trace_count_total", "mlflow_trace_state"
                            )
                        },
                        "Traces that ended, by their state.",
                        8,
                    ),
                    Panel(
                        "Failed",
                        "number",
                        "percentunit",
                        {
                            "failed": f"""{rate("mlflow_trace_count_total", where=', mlflow_trace_state="ERROR"')} / {rate("mlflow_trace_count_total")}"""
                        },
                        "Share of the requests that failed.",
                        4,
                    ),
                    Panel(
                        "Latency",
                        "lines",
                        "s",
                        {
                            name: quantile(share, "mlflow_trace_duration_seconds")
                            for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
                        },
                        "How long requests took, from the trace's local root.",
                    ),
                    Panel(
                        "Latency by app entry",
                        "lines",
                        "s",
                        {
                            "{{mlflow_trace_name}}": quantile(
                                0.95, "mlflow_trace_duration_seconds", "mlflow_trace_name"
                            )
                        },
                        "p95.",
                    ),
                    Panel(
                        "Slow or failed requests",
                        "traces",
                        "",
                        {
                            "": f"{{ {TRACES} && span.mlflow.trace.state != nil && (status = error || duration > 2s) }}"
                        },
                        "The traces behind it.",
                    ),
                ],
            ),
            (
                "Models",
                [
                    Panel(
                        "Calls",
                        "lines",
                        "reqps",
                        {
                            "{{gen_ai_request_model}} {{gen_ai_operation_name}}": rate(
                                COUNTED, "gen_ai_request_model, gen_ai_operation_name"
                            )
                        },
                        "",
                        8,
                    ),
                    Panel(
                        "Latency of calls",
                        "lines",
                        "s",
                        {
                            "{{gen_ai_request_model}}": quantile(
                                0.95, CALLS, "gen_ai_request_model", ', gen_ai_request_model!=""'
                            )
                        },
                        "p95.",
                        8,
                    ),
                    Panel(
                        "Time to first chunk",
                        "lines",
                        "s",
                        {
                            "{{gen_ai_request_model}}": quantile(
                                0.95, FIRST_CHUNK, "gen_ai_request_model"
                            )
                        },
                        "p95 of streamed calls.",
                        8,
                    ),
                    Panel(
                        "Tokens",
                        "lines",
                        "short",
                        {"{{gen_ai_request_model}} {{gen_ai_token_type}}": tokens()},
                        "Tokens a second.",
                        8,
                    ),
                    Panel(
                        "Cost",
                        "lines",
                        "currencyUSD",
                        {
                            "{{gen_ai_request_model}}": "3600 * "
                            + rate("mlflow_llm_cost_total", "gen_ai_request_model")
                        },
                        "US dollars an hour.",
                        8,
                    ),
                    Panel(
                        "Cost of a request",
                        "lines",
                        "currencyUSD",
                        {
                            "p50": quantile(0.5, "mlflow_trace_cost"),
                            "p95": quantile(0.95, "mlflow_trace_cost"),
                        },
                        "",
                        8,
                    ),
                ],
            ),
            (
                "Components",
                [
                    Panel(
                        "Errors by type",
                        "lines",
                        "reqps",
                        {
                            "{{gen_ai_operation_name}} {{error_type}}": rate(
                                COUNTED, "gen_ai_operation_name, error_type", ', error_type!=""'
                            ),
                            "{{gen_ai_tool_name}} {{error_type}}": rate(
                                "gen_ai_execute_tool_duration_seconds_count",
                                "gen_ai_tool_name, error_type",
                                ', error_type!=""',
                            ),
                        },
                        "Models, retrievers and tools.",
                    ),
                    Panel(
                        "Latency by component",
                        "lines",
                        "s",
                        {
                            "{{mlflow_spanType}} {{span_name}}": quantile(
                                0.95, "mlflow_span_duration_seconds", "mlflow_spanType, span_name"
                            )
                        },
                        "p95 of spans, as the Collector measures them: where requests spend their time.",
                    ),
                    Panel(
                        "Tools",
                        "lines",
                        "reqps",
                        {
                            "{{gen_ai_tool_name}}": rate(
                                "gen_ai_execute_tool_duration_seconds_count", "gen_ai_tool_name"
                            )
                        },
                        "",
                    ),
                    Panel(
                        "Agents",
                        "lines",
                        "s",
                        {
                            "{{gen_ai_agent_name}}": quantile(
                                0.95, "gen_ai_invoke_agent_duration_seconds", "gen_ai_agent_name"
                            )
                        },
                        "p95.",
                    ),
                ],
            ),
        ],
    ),
    "quality": (
        "MLflow apps: quality",
        [
            (
                "Assessments",
                [
                    Panel(
                        "Assessments",
                        "lines",
                        "reqps",
                        {
                            "{{gen_ai_evaluation_name}} {{mlflow_assessment_source_type}}": rate(
                                "mlflow_assessment_count_total",
                                "gen_ai_evaluation_name, mlflow_assessment_source_type",
                            )
                        },
                        "People's, judges' and code's.",
                        8,
                    ),
                    Panel(
                        "Mean score",
                        "lines",
                        "short",
                        {
                            "{{gen_ai_evaluation_name}}": f"""{rate("mlflow_assessment_score_sum", "gen_ai_evaluation_name")} / {rate("mlflow_assessment_score_count", "gen_ai_evaluation_name")}"""
                        },
                        "True counts as 1, false as 0.",
                        8,
                    ),
                    Panel(
                        "Negative feedback",
                        "lines",
                        "percentunit",
                        {
                            "{{gen_ai_evaluation_name}}": f"""({rate("mlflow_assessment_count_total", "gen_ai_evaluation_name", NEGATIVE)} or 0 * {rate("mlflow_assessment_count_total", "gen_ai_evaluation_name", JUDGED)}) / {rate("mlflow_assessment_count_total", "gen_ai_evaluation_name", JUDGED)}"""
                        },
                        "Share of the yes-or-no feedback that says no.",
                        8,
                    ),
                    Panel(
                        "Scores",
                        "heatmap",
                        "short",
                        {"{{le}}": rate("mlflow_assessment_score_bucket", "le")},
                        "How they are distributed.",
                    ),
                    Panel(
                        "Failed assessments",
                        "lines",
                        "reqps",
                        {
                            "{{gen_ai_evaluation_name}} {{error_type}}": rate(
                                "mlflow_assessment_count_total",
                                "gen_ai_evaluation_name, error_type",
                                ', error_type!=""',
                            )
                        },
                        "Judges that gave no answer.",
                    ),
                ],
            ),
            (
                "Scorers",
                [
                    Panel(
                        "Share of the traces scored",
                        "lines",
                        "percentunit",
                        {
                            "{{mlflow_scorer_name}}": f"""{rate(RUNS, SCORER)} / ({rate(RUNS, SCORER)} + {rate("mlflow_otel_scorer_sampled_out_total", SCORER)})"""
                        },
                        "Of the traces that a scorer was asked about; its rate and its filter decide.",
                        8,
                    ),
                    Panel(
                        "Scorers that fail",
                        "lines",
                        "percentunit",
                        {
                            "{{mlflow_scorer_name}}": f"""{rate("mlflow_otel_scorer_failed_total", SCORER)} / {rate(RUNS, SCORER)}"""
                        },
                        "Share of the runs: it raised, took too long, or returned what cannot be read.",
                        8,
                    ),
                    Panel(
                        "Duration of scorers, p95",
                        "lines",
                        "s",
                        {
                            "{{mlflow_scorer_name}}": quantile(
                                0.95, "mlflow_otel_scorer_duration_seconds", SCORER
                            )
                        },
                        "Beside the app's threads.",
                        8,
                    ),
                ],
            ),
            (
                "Worst traces",
                [
                    Panel(
                        "Low scores",
                        "traces",
                        "",
                        {
                            "": f"{{ {TRACES} && span.gen_ai.evaluation.score.value < 0.5 }} | select(span.gen_ai.evaluation.name, span.gen_ai.evaluation.score.value, span.gen_ai.evaluation.explanation, span.session.id, span.user.id)"
                        },
                        "Evaluations below 0.5, each in the trace that it judges.",
                    ),
                    Panel(
                        "Requests that failed",
                        "traces",
                        "",
                        {
                            "": f'{{ {TRACES} && span.mlflow.trace.state = "ERROR" }} | select(span.mlflow.trace.client_request_id, span.session.id, span.user.id)'
                        },
                        "",
                    ),
                ],
            ),
        ],
    ),
    "users": (
        "MLflow apps: users and sessions",
        [
            (
                "Now",
                [
                    Panel(
                        "Active sessions",
                        "trace number",
                        "short",
                        {
                            "": f"{{ {TRACES} && span.mlflow.trace.state != nil && span.session.id != nil }} | count_over_time() by (span.session.id)"
                        },
                        "Sessions in the time shown.",
                        6,
                    ),
                    Panel(
                        "Active users",
                        "trace number",
                        "short",
                        {
                            "": f"{{ {TRACES} && span.mlflow.trace.state != nil && span.user.id != nil }} | count_over_time() by (span.user.id)"
                        },
                        "Users in the time shown.",
                        6,
                    ),
                    Panel(
                        "Turns by session",
                        "trace lines",
                        "short",
                        {
                            "{{span.session.id}}": f"{{ {TRACES} && span.mlflow.trace.state != nil && span.session.id != nil }} | count_over_time() by (span.session.id)"
                        },
                        "Requests of each session.",
                    ),
                ],
            ),
            (
                "Users",
                [
                    Panel(
                        "Cost by user",
                        "trace lines",
                        "currencyUSD",
                        {
                            "{{span.user.id}}": f"{{ {TRACES} && span.mlflow.trace.state != nil && span.user.id != nil }} | sum_over_time(span.mlflow.trace.cost.total_cost) by (span.user.id)"
                        },
                        "US dollars.",
                    ),
                    Panel(
                        "Requests by user",
                        "trace lines",
                        "short",
                        {
                            "{{span.user.id}}": f"{{ {TRACES} && span.mlflow.trace.state != nil && span.user.id != nil }} | count_over_time() by (span.user.id)"
                        },
                        "",
                    ),
                    Panel(
                        "Latest requests",
                        "traces",
                        "",
                        {
                            "": f"{{ {TRACES} && span.mlflow.trace.state != nil }} | select(span.session.id, span.user.id, span.mlflow.trace.client_request_id, span.mlflow.trace.state, span.mlflow.trace.token_usage.total_tokens)"
                        },
                        "",
                        24,
                    ),
                ],
            ),
        ],
    ),
}


def built(panel: Panel) -> Any:
    """Return a panel's builder."""
    kinds: dict[str, Any] = {
        "lines": timeseries.Panel,
        "trace lines": timeseries.Panel,
        "number": stat.Panel,
        "trace number": stat.Panel,
        "heatmap": heatmap.Panel,
        "traces": table.Panel,
    }
    made = (
        kinds[panel.kind]().title(panel.title).description(panel.about).span(panel.width).height(8)
    )
    if panel.unit:
        made = made.unit(panel.unit)
    from_traces = "trace" in panel.kind
    made = made.datasource(TEMPO if from_traces else PROMETHEUS)
    for index, (legend, expression) in enumerate(panel.queries.items()):
        reference = chr(ord("A") + index)
        if from_traces:
            query = tempo.TempoQuery().query_type("traceql").query(expression).limit(20)
            target = query.ref_id(reference).datasource(TEMPO)
        else:
            target = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(reference)
            target = target.range().datasource(PROMETHEUS).exemplar(panel.kind == "lines")
            if panel.kind == "heatmap":
                target = target.format(PromQueryFormat.HEATMAP)
        made = made.with_target(target)
    if panel.kind in ("lines", "trace lines"):
        legend = (
            VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
        )
        made = made.legend(legend.show_legend(True)).fill_opacity(10).min(0)
    if panel.kind == "trace number":  # a series for each session or user: how many there are
        counted = {"reducers": ["count"]}
        made = made.with_transformation(DataTransformerConfig(id_val="reduce", options=counted))
        made = made.reduce_options(ReduceDataOptions().calcs(["count"]))
    return made


def dashboard(identity: str) -> dict[str, Any]:
    """Return a dashboard as Grafana's JSON."""
    title, rows = DASHBOARDS[identity]
    service = (
        dashboards.QueryVariable("service")
        .label("Service")
        .datasource(PROMETHEUS)
        .query("label_values(mlflow_trace_count_total, job)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(EVERY)
    )
    made = (
        dashboards.Dashboard(title)
        .uid(f"mlflow-otel-{identity}")
        .tags(["mlflow-otel"])
        .editable()
        .refresh("30s")
        .time("now-1h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(service)
    )
    for name, panels in rows:
        made = made.with_row(dashboards.Row(name))
        for panel in panels:
            made = made.with_panel(built(panel))
    found: dict[str, Any] = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    return found


def main(folder: str) -> None:
    """Write every dashboard into ``folder``."""
    for identity in DASHBOARDS:
        text = json.dumps(dashboard(identity), indent=1, sort_keys=True) + "\n"
        (Path(folder) / f"{identity}.json").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
