#!/usr/bin/env bash
# Builds the OpenTelemetry Collector and Jaeger 2, versions pinned, once, into a cache folder outside
# the checkout (MLFLOW_OTEL_CACHE, else the user's cache folder). Prints that folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MLFLOW_OTEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mlflow-otel}
collector=0.161.0 # the newest whose contrib components are all to be had
recipe=$(sha256sum "$here/collector-builder.yaml" | cut -c1-8) # another set of components is another program
jaeger=1.76.0   # the tag that carries Jaeger 2.13
mkdir -p "$cache"

if ! command -v go >/dev/null; then
  echo "The backend tests build the OpenTelemetry Collector and Jaeger, which are Go programs, and there is no Go here." >&2
  echo "Install Go 1.25 or later (https://go.dev/doc/install, or your distribution's package) and run this again." >&2
  exit 1
fi

if [ ! -x "$cache/otelcol-$recipe" ]; then
  work=$(mktemp -d)
  GOBIN=$work go install "go.opentelemetry.io/collector/cmd/builder@v$collector"
  sed "s|OUTPUT|$work/dist|" "$here/collector-builder.yaml" > "$work/builder.yaml"
  "$work/builder" --config "$work/builder.yaml"
  mv "$work/dist/otelcol" "$cache/otelcol-$recipe"
  rm -rf "$work"
fi

if [ ! -x "$cache/jaeger-$jaeger" ]; then
  # Jaeger's go.mod has a replace directive, which `go install` refuses: a module that requires it,
  # repeats the directive and takes over its checksums builds the same program.
  work=$(mktemp -d)
  (
    cd "$work"
    cat > go.mod <<MOD
module servers

go 1.25.0

require github.com/jaegertracing/jaeger v$jaeger

replace github.com/Shopify/sarama => github.com/Shopify/sarama v1.33.0
MOD
    source=$(go mod download -json "github.com/jaegertracing/jaeger@v$jaeger" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
    cat "$source/go.sum" > go.sum
    go build -mod=mod -trimpath -ldflags '-s -w' -o "$cache/jaeger-$jaeger.part" github.com/jaegertracing/jaeger/cmd/jaeger
  )
  mv "$cache/jaeger-$jaeger.part" "$cache/jaeger-$jaeger"
  rm -rf "$work"
fi
echo "$cache"
