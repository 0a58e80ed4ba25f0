"""A front end of the platform, as its documents describe one: opens /ws, logs in, subscribes, and waits for a state change.

Standard library only. Every message is looked at strictly: what the contract names has to be there, in its type. Writes what it
heard as JSON lines and ends with 0 once the cluster went to the wanted state; with 1 and a reason otherwise.

    frontend.py ws://127.0.0.1:8080/ws TOKEN CLUSTER_ID WANTED_STATE SECONDS
"""

import base64
import datetime
import hashlib
import json
import os
import socket
import struct
import sys
import time
import urllib.parse
import uuid

STATES = {"UNKNOWN", "ONLINE", "DEGRADED", "OFFLINE"}
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Socket:
    """RFC 6455, the client's side: text messages, pings, the end."""

    def __init__(self, url, seconds):
        parts = urllib.parse.urlsplit(url)
        self.end = time.monotonic() + seconds
        self.tcp = socket.create_connection((parts.hostname, parts.port), timeout=10)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {parts.path} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            f"Origin: http://{parts.netloc}",
        ]
        self.tcp.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.rest = b""
        head = self.until(b"\r\n\r\n").decode().split("\r\n")
        assert head[0].startswith("HTTP/1.1 101"), head[0]
        told = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        proof = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        assert told["sec-websocket-accept"] == base64.b64encode(proof).decode(), told

    def more(self):
        left = self.end - time.monotonic()
        assert left > 0, "nothing that was waited for came in time"
        self.tcp.settimeout(left)
        data = self.tcp.recv(65536)
        assert data, "the connection ended"
        self.rest += data

    def until(self, mark):
        while mark not in self.rest:
            self.more()
        before, _, self.rest = self.rest.partition(mark)
        return before

    def take(self, count):
        while len(self.rest) < count:
            self.more()
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def send(self, kind, data):
        mask = os.urandom(4)
        length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        self.tcp.sendall(bytes([0x80 | kind]) + length + mask + masked)

    def say(self, message):
        self.send(TEXT, json.dumps(message).encode())

    def hear(self):
        """The next text message."""
        while True:
            first, second = self.take(2)
            assert second < 0x80, "a server does not mask"
            length = second
            if length == 126:
                (length,) = struct.unpack(">H", self.take(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self.take(8))
            data = self.take(length)
            assert first & 0x80, "not in pieces"
            kind = first & 0x0F
            if kind == TEXT:
                return json.loads(data)
            if kind == PING:
                self.send(PONG, data)
            assert kind in (PING, PONG), f"closed: {data!r}"


def fields(message, **types):
    """Each named field is there, in its type."""
    for name, kind in types.items():
        assert name in message, f"no {name} in {message}"
        assert isinstance(message[name], kind) and not (kind is int and message[name] is True), f"{name} in {message}"
    return message


def moment(text):
    """A time in UTC."""
    parsed = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    assert parsed.utcoffset() == datetime.timedelta(0), text


def told(message):
    print(json.dumps(message), flush=True)
    return message


def status_changed(message, cluster):
    """An event of a state change, as the front end shows it."""
    fields(message, event_id=str, event_type=str, cluster_id=str, cluster_name=str, timestamp=str, payload=dict)
    uuid.UUID(message["event_id"])
    moment(message["timestamp"])
    assert message["event_type"] == "CLUSTER_STATUS_CHANGED" and message["cluster_id"] == cluster, message
    payload = fields(message["payload"], old_state=str, new_state=str, health_score=int, reason=str)
    assert {payload["old_state"], payload["new_state"]} <= STATES, payload
    assert payload["old_state"] != payload["new_state"] and 0 <= payload["health_score"] <= 100, payload
    return payload


def main(url, token, cluster, wanted, seconds):
    frontend = Socket(url, float(seconds))
    frontend.say({"type": "auth", "token": token})
    welcome = fields(told(frontend.hear()), type=str, status=str, client_id=str)
    assert (welcome["type"], welcome["status"]) == ("auth_response", "authenticated"), welcome

    subscription = {"event_types": ["CLUSTER_STATUS_CHANGED"], "cluster_filter": [cluster], "namespace_filter": []}
    frontend.say({"type": "subscribe", "subscription": subscription})
    assert fields(told(frontend.hear()), type=str, subscription=dict)["type"] == "subscribed"

    frontend.say({"type": "ping", "timestamp": int(time.time() * 1000)})
    old = None
    while True:
        message = fields(told(frontend.hear()), type=str)
        if message["type"] == "pong":
            fields(message, timestamp=int, server_time=str)
            moment(message["server_time"])
            continue
        assert message["type"] == "event", message
        payload = status_changed(message, cluster)
        assert old in (None, payload["old_state"]), f"{old} was the last state, not {payload['old_state']}"
        old = payload["new_state"]
        if old == wanted:
            break
    frontend.say({"type": "unsubscribe", "event_types": ["CLUSTER_STATUS_CHANGED"]})
    while fields(frontend.hear(), type=str)["type"] != "unsubscribed":
        pass


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (AssertionError, OSError, KeyError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
