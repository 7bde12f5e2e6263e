"""What the process may do: users, sandbox, core dumps, and what it tells systemd."""

import ctypes
import json
import os
import pwd
import random
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from harness import alone, ensure, equal, once

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOOD = {"eventName": "chat", "customerReferenceId": "acme", "featureKey": "search"}
# What the server asks for before it closes its sandbox.
AT_START = """execve socket bind listen connect eventfd2 epoll_create1 io_uring_setup clone3 mmap
    io_uring_register seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
    prctl mprotect munmap prlimit64 set_tid_address arch_prctl""".split()


def status_of(server, thread=None):
    path = "/proc/%d/task/%s/status" % (server.process.pid, thread or server.process.pid)
    with open(path, encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def threads(server):
    return os.listdir("/proc/%d/task" % server.process.pid)


def sandbox_line(server):
    return next(line for line in server.log if "event=sandbox " in line)


def test_sandbox_holds_for_every_thread(context):
    with context.server() as server:
        line = sandbox_line(server)
        if "level=warn" in line:
            print("note: no sandbox here: " + line.strip())
            return
        for word in ("level=info", "refused=EPERM", "new_privileges=no", "core_dumps=no"):
            ensure(word in line, line)
        ensure(len(threads(server)) >= 4, "threads")
        server.client().ingest([GOOD])
        for thread in threads(server):
            status = status_of(server, thread)
            equal((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"), status["Name"])
        ensure(b"\nmargind_sandbox_refused_total 0\n" in server.client().get("/metrics").body,
               "metric")
    with context.server(arguments=["--sandbox", "off"]) as server:
        ensure("calls=off" in sandbox_line(server), sandbox_line(server))
        equal((status_of(server)["Seccomp"], status_of(server)["NoNewPrivs"]), ("0", "1"), "off")


def test_disk_thread_has_short_turns(context):
    """What the disk thread asks the scheduler for gets through the sandbox."""
    call = {"x86_64": 315, "aarch64": 275}.get(os.uname().machine)
    release = tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])
    if call is None or release < (6, 12):
        print("note: this kernel gives all threads the same turns")
        return
    libc = ctypes.CDLL(None)
    with context.server() as server:
        server.client().ingest([GOOD])
        turns = {}
        for thread in threads(server):
            attributes = ctypes.create_string_buffer(48)
            equal(libc.syscall(call, int(thread), attributes, 48, 0), 0, "sched_getattr")
            name = status_of(server, thread)["Name"]
            turns[name] = struct.unpack("IIQiIQ", attributes.raw[:32])[5]
        equal(turns["disk"], 100000, "nanoseconds")
        ensure(turns["commit"] > turns["disk"], "others'")


def test_sandbox_that_kills(context):
    """A whole life without one call that is not on the list."""
    with context.server() as server:
        if "level=warn" in sandbox_line(server):
            return
    with context.server(arguments=["--sandbox", "kill", "--snapshot-events", "1000"]) as server:
        ensure("refused=killed" in sandbox_line(server), sandbox_line(server))
        for i in range(4):
            events = [dict(GOOD, idempotencyKey="%d-%d" % (i, j)) for j in range(900)]
            equal(server.client().ingest(events)["accepted"], 900, "ingest")
        done = context.tool("marginctl", "admin", "create", "a@example.com", "--data-dir",
                            server.dir, input="correct horse battery\n")
        equal(done.returncode, 0, done.stderr)
        reply = server.client().send("POST", "/api/auth/login", {
            "email": "a@example.com", "password": "correct horse battery"}, key=False)
        equal(reply.status, 200, "login")
        for path in ("/metrics", "/openapi.json", "/docs", "/api/events", "/api/customers",
                     "/api/events/traces"):
            equal(server.client().get(path).status, 200, path)
        server.verify()
        server.restart()
        equal(server.client().good("/api/events")["total"], 3600, "after a restart")
        server.stop()


def low_port():
    """One below 1024 that is free, for which one must be root. Other tests look for theirs now."""
    for port in random.sample(range(600, 1000), 400):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    return None


@alone
def test_another_user(context):
    if os.getuid() != 0:
        print("skip: only root can become another user")
        return
    nobody = pwd.getpwnam("nobody")
    with context.server() as server:  # what root leaves behind is given to him
        server.client().ingest([GOOD])
        server.stop()
        os.chmod(server.dir, 0o755)
        server.listen = "127.0.0.1:%d" % low_port()
        server.arguments = ["--user", "nobody"]
        server.start()
        for thread in threads(server):
            status = status_of(server, thread)
            equal(set(status["Uid"].split()), {str(nobody.pw_uid)}, "uid of " + status["Name"])
            equal(set(status["Gid"].split()), {str(nobody.pw_gid)}, "gid of " + status["Name"])
            equal(status["Groups"].split(), [str(nobody.pw_gid)], "groups")
            equal({int(status["Cap" + of], 16) for of in ("Prm", "Eff", "Amb")}, {0}, "rights")
        ensure(not any("runs_as_root" in line for line in server.log[2:] if "uid=" in line), "root")
        equal(server.client().good("/api/events")["total"], 1, "what root stored")
        equal(server.client().ingest([GOOD])["accepted"], 1, "ingest")
        done = context.tool("marginctl", "key", "create", "--name", "x", "--data-dir", server.dir)
        equal(done.returncode, 0, "marginctl as root beside it: " + done.stderr)
        for folder, folders, files in os.walk(server.dir):
            for name in [folder] + [os.path.join(folder, name) for name in folders + files]:
                equal(os.stat(name).st_uid, nobody.pw_uid, "owner of " + name)
        server.stop()
        server.start()
        equal(server.client().good("/api/events")["total"], 2, "after a restart")


@alone
def test_rights_to_bind(context):
    """Somebody who was given the right to bind low ports, as by a unit, does not keep it."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        print("skip: only root can hand rights out")
        return
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="margin-system.") as place:
        os.chmod(place, 0o777)
        server = context.server(dir=place + "/data", http="127.0.0.1:%d" % low_port())
        command = server.command()
        command[0] = shutil.copy(command[0], place)
        server.command = lambda: [
            "setpriv", "--reuid=%d" % nobody.pw_uid, "--regid=%d" % nobody.pw_gid,
            "--clear-groups", "--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"
        ] + command
        with server:
            for thread in threads(server):
                status = status_of(server, thread)
                equal(set(status["Uid"].split()), {str(nobody.pw_uid)}, "uid of " + status["Name"])
                equal({int(status["Cap" + of], 16) for of in ("Prm", "Eff", "Amb")}, {0},
                      "rights of " + status["Name"])
            equal(server.client().ingest([GOOD])["accepted"], 1, "ingest")
            server.stop()


def run(context, *arguments, **options):
    command = [os.path.join(context.build, "margind"), "--http-listen", "127.0.0.1:0",
               "--wire-listen", "127.0.0.1:0"] + list(arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False,
                          **options)


def test_users_that_cannot_be(context):
    with tempfile.TemporaryDirectory(prefix="margin-system.") as place:
        for user, word in (("no-such-user", "there is no user"), ("root", "is root")):
            done = run(context, "--data-dir", place, "--user", user)
            equal(done.returncode, 2, "--user %s (%s)" % (user, done.stderr))
            ensure(word in done.stderr, done.stderr)
        if os.getuid() == 0:  # somebody else cannot become him
            other = pwd.getpwnam("daemon")
            os.chmod(place, 0o777)
            copy = shutil.copy(os.path.join(context.build, "margind"), place)
            done = subprocess.run([copy, "--data-dir", place + "/data", "--user", "nobody"],
                                  capture_output=True, text=True, timeout=30, check=False,
                                  user=other.pw_uid, group=other.pw_gid)
            equal(done.returncode, 2, done.stderr)
            ensure("only root can become nobody" in done.stderr, done.stderr)


def test_root_is_warned(context):
    with context.server() as server:
        time.sleep(0.1)
        warned = any("event=runs_as_root" in line for line in server.log)
        equal(warned, os.getuid() == 0, "warning")


def dumps(server, place):
    """Whether a crash of the server leaves its memory behind, where this machine would do so."""
    environment = dict(os.environ, MARGIND_NET=server.net)

    def allow_core():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
        os.chdir(place)

    process = subprocess.Popen(server.command(), stderr=subprocess.PIPE, env=environment,
                               preexec_fn=allow_core)
    for line in process.stderr:
        if b"event=ready" in line:
            break
    os.kill(process.pid, signal.SIGABRT)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = 0
    process.stderr.close()
    equal(os.WTERMSIG(status), signal.SIGABRT, "how it ended")
    return os.WCOREDUMP(status)


@once
def test_core_dumps(context):
    with tempfile.TemporaryDirectory(prefix="margin-system.") as place:
        build = os.path.abspath(context.build)
        for arguments in ([], ["--core-dumps", "on"]):
            server = context.server(arguments=["--log-map-bytes", "64M"] + arguments)
            server.binary = os.path.join(build, "margind")
            dumped = dumps(server, place)
            server.cleanup()
            ensure(arguments or not dumped, "memory with keys in it was written to disk")
        with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
            here = file.read()[0] not in "/|"
        ensure(dumped or not here, "a dump that was asked for")


class Supervisor:
    """systemd's end of the socket."""

    def __init__(self, place):
        self.path = os.path.join(place, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(20)

    def hear(self):
        return self.socket.recv(4096).decode().split("\n")

    def waits(self):
        """Whether there is something to hear."""
        return bool(select.select([self.socket], [], [], 0)[0])


def test_told_to_systemd(context):
    with tempfile.TemporaryDirectory(prefix="margin-system.") as place:
        supervisor = Supervisor(place)
        os.environ["NOTIFY_SOCKET"] = supervisor.path
        os.environ["WATCHDOG_USEC"] = "6000000"
        try:
            server = context.server()
            server.start()
        finally:
            del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
        with_server(server, supervisor)


@once
def test_hung_thread(context):
    """A front thread that stands still is named, and systemd hears no more; a disk that takes its
    time is no reason. The build for faults looks ten times a second."""
    for place, thread in (("front.decoded", "front-0"), ("disk.taken", None)):
        with tempfile.TemporaryDirectory(prefix="margin-system.") as folder:
            supervisor = Supervisor(folder)
            os.environ["NOTIFY_SOCKET"] = supervisor.path
            os.environ["WATCHDOG_USEC"] = "400000"
            try:
                server = context.server(arguments=["--front-threads", "1", "--fault",
                                                   "hang:" + place])
                server.binary = os.path.join(context.build, "margind-faults")
                server.start()
            finally:
                del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
            try:
                ensure("READY=1" in supervisor.hear(), "ready")
                equal(supervisor.hear(), ["WATCHDOG=1"], "alive")
                body = json.dumps({"events": [GOOD]}).encode()
                connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
                connection.sendall(b"POST /api/events/ingest HTTP/1.1\r\nHost: x\r\n"
                                   b"Observe-Key: %s\r\nContent-Length: %d\r\n\r\n%s"
                                   % (server.key.encode(), len(body), body))
                if thread is None:
                    time.sleep(1.5)
                    while supervisor.waits():
                        supervisor.hear()
                    equal(supervisor.hear(), ["WATCHDOG=1"], "alive with a slow disk")
                    equal(server.client().get("/readyz").status, 200, "and serves")
                    ensure(b"\nmargind_threads_hung 0\n" in server.client().get("/metrics").body,
                           "nobody hangs")
                else:
                    deadline = time.monotonic() + 20
                    while not any("event=thread_hangs" in line for line in server.log):
                        ensure(time.monotonic() < deadline, "no line")
                        time.sleep(0.05)
                    line = next(line for line in server.log if "event=thread_hangs" in line)
                    ensure("thread=%s " % thread in line and "supervisor" in line, line)
                    while supervisor.waits():
                        supervisor.hear()
                    time.sleep(0.5)
                    ensure(not supervisor.waits(), "the supervisor was told that it lives")
                connection.close()
            finally:
                server.cleanup()


def with_server(server, supervisor):
    try:
        ensure("READY=1" in supervisor.hear(), "ready")
        begin = time.monotonic()
        for _ in range(2):
            equal(supervisor.hear(), ["WATCHDOG=1"], "alive")
        ensure(time.monotonic() - begin < 6, "in time")
        server.process.send_signal(signal.SIGHUP)  # a service has no terminal that closes
        time.sleep(0.3)
        equal(server.client().get("/healthz").status, 200, "after SIGHUP")
        server.process.send_signal(signal.SIGTERM)
        heard = supervisor.hear()
        while heard == ["WATCHDOG=1"]:
            heard = supervisor.hear()
        ensure("STOPPING=1" in heard, "stopping: %r" % heard)
        equal(server.process.wait(30), 0, "exit code")
    finally:
        server.cleanup()


def filter_groups():
    """systemd's groups of system calls, taken apart; None where there is no systemd."""
    if shutil.which("systemd-analyze") is None:
        return None
    done = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True,
                          text=True, timeout=30, check=False)
    groups = {}
    for line in done.stdout.splitlines():
        word = line.strip()
        if line.startswith("@"):
            members = groups.setdefault(word, [])
        elif line.startswith(" ") and not word.startswith("#"):
            members.append(word)
    return groups if done.returncode == 0 and "@system-service" in groups else None


def members_of(groups, name):
    if not name.startswith("@"):
        return {name}
    return set().union(*(members_of(groups, member) for member in groups[name]))


def unit_settings(path):
    settings = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            name, mark, value = line.strip().partition("=")
            if mark and not name.startswith("#"):
                settings.setdefault(name, []).append(value)
    return settings


@once
def test_unit(context):
    """The unit is one, says what it must, and lets the server do what its own sandbox lets it."""
    with tempfile.TemporaryDirectory(prefix="margin-system.") as place:
        done = subprocess.run(["make", "-s", "-C", ROOT, "install", "PREFIX=" + place,
                               "BUILD=" + os.path.abspath(context.build)],
                              capture_output=True, text=True, timeout=600, check=False)
        equal(done.returncode, 0, "make install (%s%s)" % (done.stdout, done.stderr))
        unit = place + "/lib/systemd/system/margind.service"
        settings = unit_settings(unit)
        if shutil.which("systemd-analyze"):
            for command in (["verify"], ["security", "--offline=true", "--threshold=20"]):
                done = subprocess.run(["systemd-analyze", *command, unit], capture_output=True,
                                      text=True, timeout=60, check=False)
                equal((done.returncode, done.stderr), (0, ""), " ".join(command) + done.stdout)
    for name, value in (("Type", "notify"), ("DynamicUser", "yes"), ("NoNewPrivileges", "yes"),
                        ("ProtectSystem", "strict"), ("PrivateTmp", "yes"), ("LimitCORE", "0"),
                        ("Restart", "on-failure"), ("RestartPreventExitStatus", "2"),
                        ("StateDirectory", "margind"), ("CapabilityBoundingSet", ""),
                        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX")):
        equal(settings[name], [value], name)
    groups = filter_groups()
    if groups is None:
        return
    allowed = set()
    for line in settings["SystemCallFilter"]:
        names = set().union(*(members_of(groups, name) for name in line.lstrip("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    with open(os.path.join(ROOT, "engine/process/sandbox.c"), encoding="ascii") as file:
        table = re.search(r"allowed\[\] = \{(.*?)\};", file.read(), re.S)[1]
    wanted = set(" ".join(re.findall(r'"([^"]*)"', table)).split()) | set(AT_START)
    known = members_of(groups, "@known") if "@known" in groups else wanted
    equal(sorted(wanted & known - allowed), [], "calls that the unit refuses")


@once
def test_security_page(context):
    """Each attack that SECURITY.md speaks of has a test, or code to read, that exists."""
    with open(os.path.join(ROOT, "SECURITY.md"), encoding="utf-8") as file:
        text = file.read()
    attacks = text[text.index("## Who attacks"):text.index("## What does not protect")]
    rows = [line for line in attacks.splitlines() if line.startswith("| to ")]
    ensure(len(rows) > 20, "rows")
    for row in rows:
        shown = row.rstrip(" |").rpartition(" | ")[2]
        places = re.findall(r"`([\w/]+\.\w+)(?::(\w+))?`", shown)
        ensure(places, "nothing shows: " + row)
        for path, test in places:
            inside = os.path.join(ROOT, "" if path.startswith("engine/") else "tests", path)
            ensure(os.path.exists(inside), "there is no " + path)
            with open(inside, encoding="utf-8") as file:
                ensure(not test or re.search(r"\b%s\b" % test, file.read()),
                       "no %s in %s" % (test, path))
    listed = context.tool("margind", "--help").stdout
    for flag in set(re.findall(r"`--([a-z-]+)", text)) - {"version"}:
        ensure("  --%s" % flag in listed, "there is no setting --" + flag)
