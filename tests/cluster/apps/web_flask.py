"""Flask's own server. The answer is the pid."""

import logging
import os
import sys

from flask import Flask

logging.getLogger("werkzeug").setLevel(logging.ERROR)
app = Flask(__name__)


@app.get("/")
def index():
    return str(os.getpid())


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
