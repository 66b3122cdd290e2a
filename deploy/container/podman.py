"""What the checks under a container engine (`deploy/container/engine`) have in common."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

USER = 65532
# As bits of /proc/PID/status.
NET_RAW = 1 << 13
# Long, for slow and busy machines.
PATIENCE = 60
# `stop_grace_period` and `terminationGracePeriodSeconds`.
GRACE = 60
# How compose.yaml and docs/containers.md start daemons.
CONFINED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"]


def command(*words, **how):
    """What a command prints; the check ends where it fails."""
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how}
    said = subprocess.run([str(word) for word in words], **how)
    if said.returncode != 0:
        fail(f"{' '.join(map(str, words))}: exit code {said.returncode}: {said.stdout}{said.stderr or ''}")
    return said.stdout.strip()


def podman(*words, **how):
    return command("podman", *words, **how)


def inspect(container):
    return json.loads(podman("inspect", "--type=container", container))[0]


def fail(reason):
    print(f"FAILED: {reason}")
    for name in subprocess.run(["podman", "ps", "--all", "--format={{.Names}} {{.Status}}"], capture_output=True, text=True).stdout.splitlines():
        print(f"== {name}", flush=True)
        subprocess.run(["podman", "logs", "--tail=20", name.split()[0]], stderr=subprocess.STDOUT)
    sys.exit(1)


def seen(what):
    """A check that holds, and what was seen."""
    print(f"ok  {what}", flush=True)


def expect(condition, otherwise):
    if not condition:
        fail(otherwise)


def wait_until(condition, otherwise, patience=PATIENCE):
    """Returns what the condition returns once that is true."""
    end = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > end:
            fail(otherwise)
        time.sleep(0.2)
    return value


def confinement(container, user=USER, capabilities=0):
    """Looks at the container's process: who it is, what it may do, and whether its root can be written."""
    process = inspect(container)["State"]["Pid"]
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines() if ":\t" in line)
    expect(status["Uid"].split() == [str(user)] * 4, f"{container} runs as user {status['Uid']}")
    sets = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    extra = {name: f"{value:x}" for name, value in sets.items() if value & ~capabilities}
    expect(not extra and sets["CapEff"] == capabilities, f"{container} has other capabilities than {capabilities:x}: {sets}")
    expect(status["NoNewPrivs"] == "1", f"{container} may get new privileges")
    expect(status["Seccomp"] == "2", f"{container} has no seccomp filter")
    try:
        Path(f"/proc/{process}/root/written").touch()
        fail(f"{container}: its root can be written")
    except OSError as error:
        expect(error.errno == 30, f"{container}: its root: {error}")
    return f"user {user}, capabilities {sets['CapEff']:x}, no new privileges, seccomp, root read-only"


def healthy(container):
    """Waits until the health check of the image is content, and the engine with it."""
    asked = ["podman", "healthcheck", "run", container]
    wait_until(lambda: subprocess.run(asked, capture_output=True).returncode == 0, f"{container} is not healthy")
    state = inspect(container)["State"]
    health = (state.get("Health") or state.get("Healthcheck"))["Status"]
    expect(health == "healthy", f"{container} answers, and the engine says {health}")


def stop(container):
    """Ends a container by SIGTERM; returns the seconds that took."""
    started = time.monotonic()
    podman("stop", f"--time={GRACE}", container)
    ended(container)
    return time.monotonic() - started


def ended(container):
    """Looks how a container ended: with exit code 0, which one that had to be killed has not."""
    state = inspect(container)["State"]
    expect((state["Status"], state["ExitCode"]) == ("exited", 0), f"{container} is {state['Status']}, exit code {state['ExitCode']}")


def get(url):
    """The body of an answer; nothing where there is none, or one of an error."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return None


def metric(url, name):
    """The sum over all labels of a metric of a daemon."""
    lines = (get(f"{url}/metrics") or "").splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def flow_files(folder):
    """A collector's files, also the one it writes at present."""
    return [file for file in Path(folder).glob("flows*") if not file.name.endswith(".durable")]


def flow_records(folder):
    return sum(file.read_bytes().count(b"\n") for file in flow_files(folder))


def volume(name):
    """Where the files of a volume are."""
    return Path(podman("volume", "inspect", "--format={{.Mountpoint}}", name))


def write_key(file):
    file.write_text(f"1 {os.urandom(32).hex()}\n")
    # Its owner is not the daemons' user.
    file.chmod(0o644)
