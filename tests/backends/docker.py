"""Stands in for `docker run --detach …`: the same server as a process, on the ports that are published."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.backends.servers import free_ports, jaeger_command, kafka_command


def jaeger(folder, published):
    query_grpc, spare = free_ports(2)
    return jaeger_command(
        folder, published["16686"], query_grpc, published["4317"], published.get("4318", spare)
    )


def kafka(folder, published):
    return kafka_command(folder, published["9092"], *free_ports(1))


IMAGES = {
    "jaegertracing/jaeger:2.13.0": jaeger,  # v1.76.0 of the repository is v2.13.0
    "apache/kafka:4.1.0": kafka,
}


def main(arguments):
    assert arguments[:2] == ["run", "--detach"], arguments
    published = {}
    for place, argument in enumerate(arguments):
        if argument == "--publish":
            address, here, there = arguments[place + 1].split(":")
            assert address == "127.0.0.1"
            published[there] = int(here)
    folder = Path(os.environ["DOCKER_FOLDER"])
    command = IMAGES[arguments[-1]](folder, published)
    with (folder / f"{arguments[-1].rpartition('/')[2]}.log").open("wb") as log:
        subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main(sys.argv[1:])
