"""server.py: what the benches in Python share: a margind with a data directory of its own, load for
it, and what it takes of the machine."""

import json
import os
import shutil
import subprocess
import tempfile
import time


class Server:
    """Starts at once; a context manager that stops it and leaves the directory."""

    def __init__(self, build, data):
        self.build, self.data = build, data
        self.log_path = data + ".log"
        begin = time.monotonic()
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                [build + "/margind", "--data-dir", data, "--http-listen", "127.0.0.1:0",
                 "--wire-listen", "127.0.0.1:0"], stderr=log)
        line = None
        while line is None:
            if self.process.poll() is not None:
                raise SystemExit("bench: the server did not start: see " + self.log_path)
            time.sleep(0.005)
            line = self.line("ready")
        self.ready_seconds = time.monotonic() - begin
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        self.http, self.wire = words["http"], words["wire"]
        with open(data + "/api-key") as key:
            self.key = key.read().strip()

    def line(self, event):
        """The log's line of that event, once it is whole."""
        with open(self.log_path) as log:
            for line in log:
                if " event=%s " % event in line and line.endswith("\n"):
                    return line
        return None

    def load(self, mode, seconds=None, timeout=600, **options):
        """margin-load's report. Options are its own, `_` for `-`; True: without a value."""
        words = [self.build + "/margin-load", "--mode", mode, "--http", self.http, "--server",
                 self.wire, "--key", self.key, "--json"]
        options["seconds"] = seconds
        for name, value in options.items():
            if value is not None and value is not False:
                words.append("--" + name.replace("_", "-"))
                words += [] if value is True else [str(value)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise SystemExit("bench: %s\n%s" % (" ".join(words), done.stderr))
        return json.loads(done.stdout)

    def memory(self):
        """Bytes of private memory: what the page cache may take back is not in it."""
        with open("/proc/%d/status" % self.process.pid) as status:
            return next(int(line.split()[1]) * 1024 for line in status if "RssAnon" in line)

    def disk(self):
        """Bytes of the log and what stands beside it."""
        return sum(os.stat(os.path.join(folder, name)).st_blocks * 512
                   for folder, _, names in os.walk(self.data) for name in names)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Folder:
    """A directory on a real disk (BENCH_DIR), gone at the end."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="margin-bench.", dir=os.environ.get("BENCH_DIR",
                                                                                "/var/tmp"))
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def number(name, fallback):
    """A setting like 20 or 50M."""
    text = os.environ.get(name, str(fallback))
    size = {"k": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:], 1)
    return int(float(text.rstrip("kMG")) * size)


def spread(values):
    """(median, least, most)"""
    values = sorted(values)
    return values[len(values) // 2] if len(values) % 2 else (
        (values[len(values) // 2 - 1] + values[len(values) // 2]) / 2), values[0], values[-1]
