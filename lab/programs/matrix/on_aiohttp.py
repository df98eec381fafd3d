# SPDX-License-Identifier: Apache-2.0
"""An HTTP server on aiohttp: on_aiohttp.py PORT"""

import sys

from aiohttp import web

from work import answer_url


async def handle(request):
    return web.Response(body=answer_url(request.raw_path))


app = web.Application()
app.router.add_get("/{path:.*}", handle)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None)
