"""Stands in for `docker run --detach jaegertracing/jaeger:…`: the same Jaeger as a process, on the ports that are published."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.backends.servers import JAEGER, JAEGER_CONFIG, free_ports

IMAGE = "jaegertracing/jaeger:2.13.0"  # what JAEGER is: v1.76.0 is v2.13.0


def main(arguments):
    assert arguments[:2] == ["run", "--detach"], arguments
    assert arguments[-1] == IMAGE, arguments
    published = {}
    for place, argument in enumerate(arguments):
        if argument == "--publish":
            address, here, there = arguments[place + 1].split(":")
            assert address == "127.0.0.1"
            published[there] = int(here)
    config = Path(os.environ["DOCKER_FOLDER"]) / "jaeger.yaml"
    query_grpc, spare = free_ports(2)
    config.write_text(
        JAEGER_CONFIG.format(
            query=published["16686"],
            query_grpc=query_grpc,
            grpc=published["4317"],
            http=published.get("4318", spare),
        )
    )
    with config.with_suffix(".log").open("wb") as log:
        subprocess.Popen(
            [str(JAEGER), "--config", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )


if __name__ == "__main__":
    main(sys.argv[1:])
