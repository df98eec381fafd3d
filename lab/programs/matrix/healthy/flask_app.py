# SPDX-License-Identifier: Apache-2.0
"""A Flask application, for waitress."""

from flask import Flask, jsonify

app = Flask(__name__)


@app.route("/")
def prices():
    return jsonify(apple=3, pear=4)
