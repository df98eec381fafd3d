# SPDX-License-Identifier: Apache-2.0
"""An HTTP server on Tornado: on_tornado.py PORT"""

import sys

import tornado.ioloop
import tornado.web

from work import answer_url


class Handler(tornado.web.RequestHandler):
    def get(self):
        self.write(answer_url(self.request.uri))

    def log_request(self):
        pass


class Application(tornado.web.Application):
    def log_request(self, handler):
        pass


Application([(r"/.*", Handler)]).listen(int(sys.argv[1]), "127.0.0.1")
tornado.ioloop.IOLoop.current().start()
