"""README.md is true: its samples run as they stand, its settings are those of --help."""

import os
import re
import socket
import subprocess
import tempfile

from harness import alone, ensure, equal, nets

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def readme():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        return file.read()


def samples():
    return re.findall(r"^```sh\n(.*?)^```", readme(), re.MULTILINE | re.DOTALL)


@nets("epoll")
def test_samples(context):
    """The shell samples, in order, in a directory that looks like the tree after `make`."""
    with context.server() as server, tempfile.TemporaryDirectory() as work:
        os.symlink(os.path.abspath(context.build), os.path.join(work, "build"))
        os.symlink(server.dir, os.path.join(work, "data"))
        blocks = samples()
        ensure(len(blocks) >= 2, "the README has lost its samples")
        output = ""
        for block in blocks:
            block = block.replace("localhost:8080", "127.0.0.1:%d" % server.port)
            block = re.sub(r"build/marginctl (?=ingest|top)",
                           "build/marginctl --server 127.0.0.1:%d " % server.wire_port, block)
            run = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=work, text=True,
                                 capture_output=True, timeout=60, check=False)
            equal(run.returncode, 0, "exit code of\n%s%s%s" % (block, run.stdout, run.stderr))
            output += run.stdout
        ensure('"accepted":1' in output.replace(" ", ""), "no event was accepted: " + output)
        ensure("0.0000705" in output, "the cost the README names is missing: " + output)
        rows = server.client().good("/api/events/by-customer")
        row = next(r for r in rows if r["customer_id"] == "acme")
        equal(str(row["total_cost"]), "0.000141", "cost of the two events")


@alone
@nets("epoll")
def test_tls_sample(context):
    """The one sample that starts a server of its own, with a certificate it makes."""
    block = re.search(r"^```bash\n(.*?)^```", readme(), re.MULTILINE | re.DOTALL)[1]
    with tempfile.TemporaryDirectory() as work:
        os.symlink(os.path.abspath(context.build), os.path.join(work, "build"))
        ports = []
        for _ in range(2):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                ports.append(probe.getsockname()[1])
        block = block.replace("build/margind ", "build/margind --http-listen 127.0.0.1:%d "
                              "--wire-listen 127.0.0.1:%d " % tuple(ports))
        block = block.replace("localhost:8080", "localhost:%d" % ports[0])
        block = block.replace("build/marginctl ",
                              "build/marginctl --server 127.0.0.1:%d " % ports[1])
        run = subprocess.run(["bash", "-euo", "pipefail", "-c",
                              "trap 'kill %1; wait' EXIT\n" + block],
                             cwd=work, text=True, capture_output=True, timeout=60, check=False)
        equal(run.returncode, 0, "exit code of\n%s%s%s" % (block, run.stdout, run.stderr))
        ensure('"ready"' in run.stdout and "margind/" in run.stdout, run.stdout)


@nets("epoll")
def test_settings(context):
    """Each row of the settings table stands in --help with the same names and default."""
    help_text = context.tool("margind", "--help").stdout
    known = re.findall(r"^  --(\S+) \S+\n.*\n      default (\S+), env (\w+)(?:, file (.*))?$",
                       help_text, re.MULTILINE)
    rows = re.findall(r"^\| `--(\S+)` \| `(\w+)` \| (?:`([^`]*)`)? ?\| `?([^`| ]*)`? \|",
                      readme(), re.MULTILINE)
    ensure(len(known) > 5, "--help has changed its form")
    equal([(name, env, file, default) for name, env, file, default in rows],
          [(name, env, file, default) for name, default, env, file in known], "settings")


@nets("epoll")
def test_endpoints(context):
    """Each path of the server is in the README, by itself or by its end (`.../me`)."""
    text = readme()
    with context.server() as server:
        paths = server.client().get("/openapi.json", key=False).json["paths"]
    ensure(len(paths) > 60, "paths")
    for path in paths:
        end = [part for part in path.split("/") if not part.startswith("{")][-1]
        ensure(re.search(r"`[^`|]*\b%s(?![\w-])" % re.escape(end), text), "README lacks " + path)


@nets("epoll")
def test_paths(context):
    """Files and folders that the README names exist."""
    del context
    for path in re.findall(r"`((?:engine|include|storage|tests|bench|tools)/[\w./]*)`", readme()):
        ensure(os.path.exists(os.path.join(ROOT, path)), "README names %s" % path)
