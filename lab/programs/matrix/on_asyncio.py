# SPDX-License-Identifier: Apache-2.0
"""An asyncio HTTP server on another system call: on_asyncio.py PORT select|poll"""

import asyncio
import selectors
import sys

from work import answer_url

SELECTORS = {"select": selectors.SelectSelector, "poll": selectors.PollSelector}


async def serve(reader, writer):
    while request := await reader.readline():
        while (await reader.readline()).strip():
            pass
        body = answer_url(request.split()[1].decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


loop = asyncio.SelectorEventLoop(SELECTORS[sys.argv[2]]())
asyncio.set_event_loop(loop)
loop.run_until_complete(main())
