#!/usr/bin/env python3
"""An external worker for hubd: claims jobs, runs their `command` input in a shell here, reports.

    python3 docs/examples/worker.py --url http://127.0.0.1:7700 --token SECRET --types my_capability

A capability with `runner = external` is run by such workers. The token needs the scope `worker`.
Every call names the worker and the lease's token; a 409 `stale_lease` says that the job is no longer
ours, and whatever we were doing for it must stop.
"""
import argparse
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid


class Hub:
    def __init__(self, url, token, name):
        self.url, self.token, self.name = url, token, name

    def call(self, method, path, body):
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), method=method,
            headers={"Authorization": "Bearer " + self.token, "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def claim(self, types, batch):
        # A claim_id makes the call safe to repeat when its answer is lost.
        body = {"worker": self.name, "batch": batch, "claim_id": uuid.uuid4().hex}
        if types:
            body["types"] = types.split(",")
        status, answer = self.call("POST", "/api/internal/jobs/queue", body)
        if status != 200:
            raise SystemExit("worker: %s" % answer["error"]["message"])
        return answer["jobs"]

    def tell(self, job, what, method="POST", **more):
        body = {"worker": self.name, "lease_token": job["lease_token"],
                "timestamp": int(time.time() * 1000), **more}
        return self.call(method, "/api/internal/jobs/%s/%s" % (job["id"], what), body)


def keep_alive(hub, job, process, done):
    """Renews the lease; stops the work when the hub says so or the lease is gone."""
    wait = 1.0
    while not done.wait(wait):
        status, answer = hub.tell(job, "heartbeat")
        if status == 409 or (status == 200 and answer["stop"]):
            process.terminate()
            return
        if status == 200:
            wait = max(0.2, answer["expires_in_ms"] / 3000)


def run(hub, job):
    status, _ = hub.tell(job, "status", method="PUT", status="running")
    if status != 200:
        return  # not ours any more
    command = job["inputs"].get("command", "true")
    done = threading.Event()
    with subprocess.Popen(["/bin/sh", "-c", command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        beat = threading.Thread(target=keep_alive, args=(hub, job, process, done), daemon=True)
        beat.start()
        output, error = process.communicate()
    done.set()
    beat.join()
    code = process.returncode
    if code == 0:
        hub.tell(job, "complete", exitCode=0, output=output)
    else:
        hub.tell(job, "fail", exitCode=code, output=output,
                 error=error.strip() or "exit status %d" % code)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--types", default="")
    parser.add_argument("--name", default="worker-" + uuid.uuid4().hex[:8])
    parser.add_argument("--jobs", type=int, default=0, help="end after so many (0: never)")
    arguments = parser.parse_args()
    hub = Hub(arguments.url, arguments.token, arguments.name)
    count = 0
    while arguments.jobs == 0 or count < arguments.jobs:
        jobs = hub.claim(arguments.types, 1)
        for job in jobs:
            run(hub, job)
            count += 1
        if not jobs:
            time.sleep(0.5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
