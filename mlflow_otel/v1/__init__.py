"""Generated from ``proto/mlflow_otel/v1`` by ``make proto``; nothing here is written by hand."""
