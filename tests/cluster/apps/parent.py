"""A server that starts children in every way, and prints what each of them sees of rota as one line of JSON."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys

LOOK = """
import json, os, sys
def target(fd):
    try:
        return os.readlink("/proc/self/fd/" + fd)
    except OSError:
        return ""
names = ("ROTA_CONTROL", "ROTA_FORMER", "ROTA_LISTENERS", "PYTHONPATH")
print(json.dumps({
    "environ": sorted(n + "=" + v for n, v in os.environ.items() if n.startswith(names)),
    "path": any("inject" in entry for entry in sys.path),
    "sockets": sum(target(fd).startswith("socket:") for fd in os.listdir("/proc/self/fd")),
}))
"""


def seen(**options):
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True, **options)
    return json.loads(done.stdout)


def forked():
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.dup2(writer, 1)
        os.execv(sys.executable, [sys.executable, "-c", LOOK])
    os.close(writer)
    with open(reader) as file:
        return json.loads(file.read())


def pooled(port):
    """A worker of a pool binds for itself what is not the server's."""
    with socket.create_server(("127.0.0.1", port)):
        return True


if __name__ == "__main__":
    server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    said = {
        "run": seen(),
        "with a copy of the environment": seen(env=dict(os.environ)),
        "in a shell": json.loads(subprocess.check_output(f"{sys.executable} -c '{LOOK}'", shell=True)),
        "fork and exec": forked(),
    }
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(pooled, (int(sys.argv[2]),))
    print(json.dumps(said), flush=True)
    while True:
        server.accept()[0].close()
