# SPDX-License-Identifier: Apache-2.0
"""A WSGI application, for gunicorn: gunicorn on_wsgi:app"""

from urllib.parse import parse_qs

from work import answer


def app(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    body = answer(environ["PATH_INFO"], float(query.get("ms", ["0"])[0]))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
