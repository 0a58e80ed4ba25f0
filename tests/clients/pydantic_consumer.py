"""A streaming consumer of the platform that reads events into pydantic models (models.py), from the stream and from the channels of Redis.

Listens on the channels until every wanted type of event came there, then reads the whole stream. Ends with 0 when every message could be
read, every event of a cluster came on that cluster's own channel, and all that was heard is in the stream, letter by letter; with 1 and a
reason otherwise.

    pydantic_consumer.py HOST PORT SECONDS TYPE...
"""

import collections
import json
import sys

import pydantic
from consumer import Redis
from models import parse

ALL, CLUSTERS = "aiops:events:all", "aiops:events:cluster:"
STREAM = "aiops:stream:events"
NOBODY = "00000000-0000-0000-0000-000000000000"


def listen(redis, wanted):
    """Texts by id of the event, as heard on the channel of all; ends when all types were heard, and their clusters' channels told them."""
    redis.send("SUBSCRIBE", ALL)
    redis.read()
    redis.send("PSUBSCRIBE", CLUSTERS + "*")
    redis.read()
    print("listening", flush=True)
    heard, awaited = {}, set()
    while wanted or awaited:
        *_, channel, text = redis.read()
        event, channel = parse(text), channel.decode()
        if channel == ALL:
            heard[str(event.event_id)] = text
            if event.event_type in wanted:
                print("heard", event.event_type, flush=True)
                wanted.discard(event.event_type)
            if str(event.cluster_id) != NOBODY:
                awaited.add(str(event.event_id))
        else:
            assert channel == f"{CLUSTERS}{event.cluster_id}", f"{channel}: {event}"
            awaited.discard(str(event.event_id))
    return heard


def read_stream(redis):
    """Texts by id of the event, all there are."""
    texts, last = {}, "0"
    while True:
        redis.send("XRANGE", STREAM, f"({last}", "+", "COUNT", "1000")
        entries = redis.read()
        if not entries:
            return texts
        for number, fields in entries:
            text = dict(zip(fields[::2], fields[1::2]))[b"json"]
            texts[str(parse(text).event_id)] = text
            last = number.decode()


def main(host, port, seconds, *wanted):
    heard = listen(Redis(host, port, float(seconds)), set(wanted))
    stored = read_stream(Redis(host, port, float(seconds)))
    other = [event for event, text in heard.items() if stored.get(event) != text]
    assert not other, f"heard and not in the stream: {other}"
    counts = collections.Counter(json.loads(text)["event_type"] for text in stored.values())
    print("read with pydantic", pydantic.VERSION, json.dumps(counts), flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (AssertionError, OSError, KeyError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
