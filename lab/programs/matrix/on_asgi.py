# SPDX-License-Identifier: Apache-2.0
"""An ASGI application, for uvicorn: uvicorn on_asgi:app"""

from urllib.parse import parse_qs

from work import answer


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    query = parse_qs(scope["query_string"].decode())
    body = answer(scope["path"], float(query.get("ms", ["0"])[0]))
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
