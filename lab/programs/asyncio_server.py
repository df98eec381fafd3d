# SPDX-License-Identifier: Apache-2.0
"""An asyncio HTTP server, standard library only, one of whose handlers calls
time.sleep: the mistake that everybody makes once."""

import asyncio
import time


def price_table(ms):
    time.sleep(ms / 1000)
    return b"done\n"


async def answer(path):
    if path.startswith("/sleep"):
        return price_table(200)
    await asyncio.sleep(0)
    return b"ok\n"


async def serve(reader, writer):
    while True:
        request = await reader.readline()
        if not request:
            break
        while (await reader.readline()).strip():
            pass
        body = await answer(request.split()[1].decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print("listening 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
