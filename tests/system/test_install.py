"""`make install`: programs that run, headers that do not get in the way of others, a library that
links."""

import os
import subprocess
import tempfile

from harness import ensure, equal, nets

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = """\
#include <limits.h>
#include <margin/margin.h>
#include <stdio.h>
int main(void) {
    struct margin_options options = {.host = "127.0.0.1", .port = 1, .key = "none"};
    struct margin_client *client;
    char why[256];
    bool failed = margin_connect(&options, &client, why, sizeof why) != MARGIN_OK;
    printf("%d %d\\n", failed, PATH_MAX > 0);
    return 0;
}
"""


@nets("epoll")
def test_install(context):
    with tempfile.TemporaryDirectory() as work:
        command = ["make", "-s", "-C", ROOT, "install", "BUILD=" + os.path.abspath(context.build),
                   "DESTDIR=" + work, "PREFIX=/usr"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        equal(done.returncode, 0, "make install (%s%s)" % (done.stdout, done.stderr))
        for name in ("margind", "marginctl", "margin-load"):
            done = subprocess.run([work + "/usr/bin/" + name, "--help"], capture_output=True,
                                  timeout=30, check=False)
            equal(done.returncode, 0, name + " --help")
        # Where the compiler looks before it looks for the C library's own headers.
        include = work + "/usr/include"
        equal(os.listdir(include), ["margin"], "what lies beside other headers")
        source, program = work + "/program.c", work + "/program"
        with open(source, "w", encoding="ascii") as file:
            file.write(PROGRAM)
        command = ["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-isystem", include, source, "-o", program,
                   "-L" + work + "/usr/lib", "-lmargin", "-lxxhash", "-lssl", "-lcrypto"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        equal(done.returncode, 0, "compiling (%s)" % done.stderr)
        done = subprocess.run([program], capture_output=True, text=True, timeout=30, check=False)
        ensure(done.stdout == "1 1\n", "a program with libmargin: " + done.stdout)
