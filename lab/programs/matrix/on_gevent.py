# SPDX-License-Identifier: Apache-2.0
"""A WSGI server on gevent, without monkey patching: on_gevent.py PORT"""

import sys

from gevent.pywsgi import WSGIServer

from on_wsgi import app

WSGIServer(("127.0.0.1", int(sys.argv[1])), app, log=None).serve_forever()
