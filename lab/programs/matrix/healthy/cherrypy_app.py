# SPDX-License-Identifier: Apache-2.0
"""A CherryPy application: cherrypy_app.py PORT"""

import sys

import cherrypy


class Prices:
    @cherrypy.expose
    def index(self):
        return "ok"


cherrypy.config.update({"server.socket_port": int(sys.argv[1]), "log.screen": False, "engine.autoreload.on": False})
cherrypy.quickstart(Prices())
