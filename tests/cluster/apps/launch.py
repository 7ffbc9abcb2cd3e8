"""A start script: becomes the server by exec."""

import os
import sys

server = os.path.join(os.path.dirname(os.path.abspath(__file__)), "plain.py")
os.execv(sys.executable, [sys.executable, server, sys.argv[1]])
