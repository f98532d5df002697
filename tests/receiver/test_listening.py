"""Sockets that servers listen on."""

from __future__ import annotations

import asyncio
import socket

from mlflow_otel.receiver.listening import listen


def test_a_servers_connections_send_the_second_piece_of_an_answer_before_the_first_is_acknowledged():
    """asyncio asks for it only where it makes the socket itself, and ``uvicorn`` is handed ours."""
    said = []

    def met(_reader, writer):
        said.append(
            writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        )
        writer.close()

    async def meet():
        listener = listen(("127.0.0.1", 0))
        async with await asyncio.start_server(met, sock=listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await reader.read()
            writer.close()

    asyncio.run(meet())
    assert said
    assert all(said)
