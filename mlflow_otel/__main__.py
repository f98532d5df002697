"""``python -m mlflow_otel``."""

from mlflow_otel.cli import main

main(prog_name="mlflow-otel")
