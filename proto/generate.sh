#!/usr/bin/env bash
# Writes the Python of proto/ below the folder that is named (the checkout, else).
#
# protoc 25, on purpose: what later ones generate runs on one major version of protobuf alone, and
# the versions supported here need three (5 to 7).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${1:-$here/..}
venv=$here/../.venv-proto
if [ ! -f "$venv/ready" ]; then
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet 'grpcio-tools==1.62.3' 'setuptools<81'
  touch "$venv/ready"
fi
cd "$here"
"$venv/bin/python" -m grpc_tools.protoc -I . --python_out="$target" --pyi_out="$target" \
  --grpc_python_out="$target" mlflow_otel/v1/*.proto
rm "$target/mlflow_otel/v1/assessment_pb2_grpc.py" # no service in it
