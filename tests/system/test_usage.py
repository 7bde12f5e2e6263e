"""What somebody is told who uses a program wrongly: one line that says what to do, and exit code 2
for usage, 1 for what failed."""

import os
import subprocess

from harness import ensure, equal, nets

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Program, arguments, exit code, what stderr says. HERE is a directory with an account `acme`.
CASES = [
    ("marginctl", "frob", 2, "no command frob; try --help"),
    ("marginctl", "frob --help", 2, "no command frob; try --help"),
    ("marginctl", "top --window", 2, "requires an argument"),
    ("marginctl", "backup HERE/x --server 127.0.0.1:1", 2, "--data-dir says where"),
    ("marginctl", "key list --tls", 2, "--data-dir says where"),
    ("marginctl", "verify HERE/none", 1, "name the server's data directory"),
    ("marginctl", "account create acme --data-dir HERE", 1, "account 2 is named acme already"),
    ("marginctl", "account create two --plan gold --data-dir HERE", 0, "no plan gold is shipped"),
    ("marginctl", "stats --data-dir HERE/none", 1, "set MARGIN_KEY, or name the server's"),
    ("marginctl", "stats --key x --server 127.0.0.1:1", 1, "is margind running there?"),
    ("inspect", "HERE frob", 2, "no such command"),
    ("inspect", "HERE block 7", 1, "no block holds event 7"),
    ("inspect", "HERE/none blocks", 1, "cannot use directory"),
    ("sample", "extra", 2, "no option: extra"),
    ("sample", "--events x", 2, "from 1 to"),
    ("margin-load", "--mode x", 2, "no such mode: x"),
    ("margin-load", "--key x --http 127.0.0.1:1", 1, "is margind running at"),
    ("margind", "--frob", 2, "--help lists the settings"),
    ("margind", "--http-listen", 2, "needs a value"),
    ("margind", "--memory-max 4", 2, "is not 0 or a size from 128M to 1T"),
    ("margind", "--data-dir HERE/api-key", 1, "Not a directory"),
    ("margind", "--data-dir HERE/x --wire-listen TAKEN", 1, "stop what listens there, or choose"),
]


@nets("epoll")
def test_wrong_usage(context):
    with context.server() as server:
        here, taken = server.dir, "127.0.0.1:%d" % server.port
        done = context.tool("marginctl", "account", "create", "acme", "--data-dir", here)
        equal(done.returncode, 0, "an account (%s)" % done.stderr)
        for program, words, code, said in CASES:
            words = words.replace("HERE", here).replace("TAKEN", taken)
            done = context.tool(program, *words.split())
            equal(done.returncode, code, "%s %s (%s)" % (program, words, done.stderr))
            ensure(said in done.stderr, "%s %s says %s" % (program, words, done.stderr))
        done = context.tool("margin-load", "--http", "127.0.0.1:%d" % server.port, "--key", "x",
                            "--seconds", "1")
        ensure("the server answered 401" in done.stderr, "a bad key: " + done.stderr)


@nets("epoll")
def test_unknown_variable(context):
    """Variables that only look like settings are named; orchestrators make such: no error."""
    variables = dict(os.environ, MARGIND_RETENTION="90", MARGIND_SANDBOX="auto")
    done = context.tool("margind", "--user", "nobody-of-that-name", env=variables)
    ensure("event=unknown_variable name=MARGIND_RETENTION " in done.stderr, done.stderr)
    equal(done.stderr.count("unknown_variable"), 1, done.stderr)


@nets("epoll")
def test_make_help(context):
    """A line a target, each told in one piece."""
    del context
    # Under another make it would tell which directory it enters.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(["make", "-s", "-C", ROOT, "help"], capture_output=True, text=True,
                          timeout=60, check=True, env=environment)
    lines = done.stdout.splitlines()
    ensure(len(lines) > 20, done.stdout)
    column = lines[0].index("build")
    for line in lines:
        ensure(line[column - 2:column].isspace() and "  " not in line[column:], repr(line))
