"""A streaming consumer of the platform, as its documents describe one: follows the channels of Redis that the registry
publishes to, and waits for a state change.

Standard library only. Envelopes are looked at strictly. Ends with 0 once the cluster went to the wanted state on every channel that has
to tell of it; with 1 and a reason otherwise.

    consumer.py HOST PORT CLUSTER_ID WANTED_STATE SECONDS
"""

import datetime
import json
import socket
import sys
import time
import uuid


class Redis:
    """Subscriptions over RESP 2."""

    def __init__(self, host, port, seconds):
        self.end = time.monotonic() + seconds
        self.tcp = socket.create_connection((host, int(port)), timeout=10)
        self.file = self.tcp.makefile("rb")

    def send(self, *words):
        self.tcp.sendall(f"*{len(words)}\r\n".encode() + b"".join(f"${len(w)}\r\n{w}\r\n".encode() for w in words))

    def subscribe(self, *channels):
        self.send("SUBSCRIBE", *channels)
        for channel in channels:
            assert self.read()[:2] == [b"subscribe", channel.encode()]

    def read(self):
        left = self.end - time.monotonic()
        assert left > 0, "nothing that was waited for came in time"
        self.tcp.settimeout(left)
        line = self.file.readline()
        assert line.endswith(b"\r\n"), "the connection ended"
        kind, rest = line[:1], line[1:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2]
        assert kind != b"-", rest
        return rest

    def message(self):
        kind, channel, data = self.read()
        assert kind == b"message"
        return channel.decode(), json.loads(data)


def envelope(event):
    for name in ("event_id", "event_type", "source", "cluster_id", "timestamp"):
        assert isinstance(event.get(name), str), f"{name} in {event}"
    assert isinstance(event.get("payload"), dict), event
    assert event["source"] == "cluster-registry", event
    uuid.UUID(event["event_id"])
    uuid.UUID(event["cluster_id"])
    parsed = datetime.datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00"))
    assert parsed.utcoffset() == datetime.timedelta(0), event
    return event


def main(host, port, cluster, wanted, seconds):
    redis = Redis(host, port, float(seconds))
    waiting = {"aiops:events:all", "aiops:events:cluster", f"aiops:events:cluster:{cluster}"}
    redis.subscribe(*sorted(waiting))
    print("listening", flush=True)
    ids = set()
    while waiting:
        channel, event = redis.message()
        payload = envelope(event)["payload"]
        if event["event_type"] != "CLUSTER_STATUS_CHANGED" or event["cluster_id"] != cluster:
            continue
        print(channel, json.dumps(event), flush=True)
        if payload["new_state"] == wanted:
            waiting.discard(channel)
            ids.add(event["event_id"])
    assert len(ids) == 1, f"one event has one id, not {ids}"


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (AssertionError, OSError, KeyError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
