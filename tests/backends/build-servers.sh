#!/usr/bin/env bash
# Builds the OpenTelemetry Collector, Jaeger 2 and Prometheus, fetches Kafka and what checks compose files,
# Kubernetes manifests and TraceQL, versions pinned, once, into a cache folder outside the checkout
# (MLFLOW_OTEL_CACHE, else the user's cache folder). Prints that folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MLFLOW_OTEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mlflow-otel}
jaeger=1.76.0   # the tag that carries Jaeger 2.13
prometheus=0.316.0 # the tag that carries Prometheus 3.16
compose=2.40.3
kustomize=5.8.1 # the newest that Go 1.26 builds
kafka=$(sed -n '/kafka_2.13/{n;s/.*<version>\(.*\)<.*/\1/p}' "$here/kafka-pom.xml")
traceql=1.0.0 # Grafana's grammar of it
mkdir -p "$cache"

for program in java mvn npm; do
  if ! command -v $program >/dev/null; then
    echo "The backend tests need $program: Kafka runs on Java 17 or later and comes by Maven, TraceQL's grammar by npm." >&2
    exit 1
  fi
done
if ! command -v go >/dev/null; then
  echo "The backend tests build the Collector, Jaeger, Prometheus and others, which are Go programs, and there is no Go here." >&2
  echo "Install Go 1.26 or later (https://go.dev/doc/install, or your distribution's package) and run this again." >&2
  exit 1
fi

# A Collector of the components that a recipe names; another recipe is another program.
#   collector RECIPE
collector() {
  target=$cache/otelcol-$(sha256sum "$here/$1" | cut -c1-8)
  [ -x "$target" ] && return
  work=$(mktemp -d)
  version=$(sed -n 's/^  version: //p' "$here/$1")
  GOBIN=$work go install "go.opentelemetry.io/collector/cmd/builder@v$version"
  sed "s|OUTPUT|$work/dist|" "$here/$1" > "$work/builder.yaml"
  "$work/builder" --config "$work/builder.yaml"
  mv "$work/dist/otelcol" "$target"
  rm -rf "$work"
}
collector collector-builder.yaml
collector collector-kafka-builder.yaml

# A go.mod with directives of its own (replace, exclude) `go install` refuses: a module that requires it,
# repeats what matters of them and takes over its checksums builds the same program.
#   wrapped MODULE VERSION PACKAGE TARGET [DIRECTIVE]
wrapped() {
  [ -x "$cache/$4" ] && return
  work=$(mktemp -d)
  (
    cd "$work"
    printf 'module servers\n\ngo 1.25.0\n\nrequire %s v%s\n\n%s\n' "$1" "$2" "${5:-}" > go.mod
    source=$(go mod download -json "$1@v$2" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
    cat "$source/go.sum" > go.sum
    CGO_ENABLED=0 go build -mod=mod -trimpath -ldflags '-s -w' -o "$cache/$4.part" "$1/$3"
  )
  mv "$cache/$4.part" "$cache/$4"
  rm -rf "$work"
}

# The same for what `go install` takes.
#   installed PACKAGE@VERSION PROGRAM TARGET [FLAG…]
installed() {
  [ -x "$cache/$3" ] && return
  work=$(mktemp -d)
  CGO_ENABLED=0 GOBIN=$work go install "${@:4}" -trimpath -ldflags '-s -w' "$1"
  mv "$work/$2" "$cache/$3"
  rm -rf "$work"
}

wrapped github.com/jaegertracing/jaeger $jaeger cmd/jaeger jaeger-$jaeger \
  'replace github.com/Shopify/sarama => github.com/Shopify/sarama v1.33.0'
wrapped github.com/docker/compose/v2 $compose cmd docker-compose-$compose
# Without the discovery of services in clouds, whose libraries are most of it.
installed github.com/prometheus/prometheus/cmd/prometheus@v$prometheus prometheus prometheus-$prometheus -tags remove_all_sd
installed github.com/prometheus/prometheus/cmd/promtool@v$prometheus promtool promtool-$prometheus -tags remove_all_sd
installed sigs.k8s.io/kustomize/kustomize/v5@v$kustomize kustomize kustomize-$kustomize

if [ ! -d "$cache/kafka-$kafka" ]; then
  work=$(mktemp -d)
  mvn --quiet --batch-mode --file "$here/kafka-pom.xml" dependency:copy-dependencies "-DoutputDirectory=$work/libs" >&2
  mv "$work/libs" "$cache/kafka-$kafka"
  rm -rf "$work"
fi

if [ ! -d "$cache/traceql-$traceql" ]; then
  work=$(mktemp -d)
  npm install --silent --no-fund --no-audit --prefix "$work" "@grafana/lezer-traceql@$traceql" @lezer/lr@1.4.2 >&2
  mv "$work" "$cache/traceql-$traceql"
fi
echo "$cache"
