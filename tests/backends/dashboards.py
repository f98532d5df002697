"""The queries of the dashboards, as Grafana would send them."""

from __future__ import annotations

import json

from tests.backends.servers import CONFIG

VARIABLES = {"$__rate_interval": "30s", "$service": ".*"}


def expressions(source):
    """Yield (dashboard, panel, query) of every panel on one data source, ``prometheus`` or ``tempo``."""
    for file in sorted((CONFIG / "grafana/dashboards").glob("*.json")):
        dashboard = json.loads(file.read_text())
        rows = [panel for row in dashboard["panels"] for panel in (row, *row.get("panels", ()))]
        for panel in rows:
            for target in panel.get("targets", ()):
                if target["datasource"]["type"] == source:
                    query = target["expr"] if source == "prometheus" else target["query"]
                    for name, value in VARIABLES.items():
                        query = query.replace(name, value)
                    yield dashboard["uid"], panel["title"], query
