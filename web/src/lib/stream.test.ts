import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EventStream, FrameParser, type StreamState } from './stream';
import type { FleetEvent } from './types';

const frame = (position: number) => `id: ${position}\ndata: {"event_id":"e${position}","position":${position}}\n\n`;

/** A server of streams: each connection gets a body to write to. */
class Server {
  asked: (string | null)[] = [];
  bodies: ReadableStreamDefaultController<Uint8Array>[] = [];
  refuses = false;
  fetch = (async (_url: string, init: RequestInit) => {
    this.asked.push(new Headers(init.headers).get('last-event-id'));
    if (this.refuses) throw new TypeError('failed');
    const body = new ReadableStream<Uint8Array>({ start: (controller) => void this.bodies.push(controller) });
    return new Response(body, { status: 200 });
  }) as unknown as typeof fetch;
  say(text: string): void {
    this.bodies.at(-1)!.enqueue(new TextEncoder().encode(text));
  }
}

describe('FrameParser', () => {
  it('puts frames together from any chunks', () => {
    const text = `retry: 2000\n: fleetbeat\n\n${frame(1)}: heartbeat\nid: 7\n\nid: 8\r\ndata: a\r\ndata: b\r\n\r\n`;
    const whole = new FrameParser().push(text);
    for (let size = 1; size < 9; size += 1) {
      const parser = new FrameParser();
      const frames = [];
      for (let at = 0; at < text.length; at += size) frames.push(...parser.push(text.slice(at, at + size)));
      expect(frames).toEqual(whole);
    }
    expect(whole.map((one) => one.id)).toEqual(['1', '7', '8']);
    expect(whole[1]!.data).toBeUndefined();
    expect(whole[2]!.data).toBe('a\nb');
  });
});

describe('EventStream', () => {
  let server: Server;
  let states: StreamState[];
  let seen: number[];
  let stream: EventStream;
  const settle = () => vi.advanceTimersByTimeAsync(1);

  beforeEach(() => {
    vi.useFakeTimers();
    [server, states, seen] = [new Server(), [], []];
    stream = new EventStream({
      url: '/stream', after: 5, fetch: server.fetch, silenceMs: 25_000, pauseMs: 500, maxPauseMs: 4_000,
      onEvents: (events: FleetEvent[]) => seen.push(...events.map((event) => event.position)),
      onState: (state) => states.at(-1) !== state && states.push(state),
    });
  });
  afterEach(() => {
    stream.close();
    vi.useRealTimers();
  });

  it('shows who is calling at every try, and stops for good when that is refused', async () => {
    stream.close();
    const shown: (string | null)[] = [];
    let [refused, status] = [0, 200];
    const answering = (async (_url: string, init: RequestInit) => {
      shown.push(new Headers(init.headers).get('authorization'));
      return status === 200 ? server.fetch('', init) : new Response('{}', { status });
    }) as unknown as typeof fetch;
    let token = 'a';
    stream = new EventStream({ url: '/stream', after: 5, fetch: answering, pauseMs: 500, onEvents: () => undefined, onState: () => undefined, headers: () => ({ authorization: token }), onRefused: () => void (refused += 1) });
    stream.open();
    await settle();
    [token, status] = ['b', 401];
    server.bodies.at(-1)!.close();
    await vi.advanceTimersByTimeAsync(600);
    expect([shown, refused]).toEqual([['a', 'b'], 1]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(shown.length).toBe(2);
  });

  it('begins after the snapshot and resumes after the last event seen', async () => {
    stream.open();
    await settle();
    server.say(frame(6) + frame(9));
    await settle();
    server.bodies.at(-1)!.close();
    await vi.advanceTimersByTimeAsync(600);
    expect(server.asked).toEqual(['5', '9']);
    expect(seen).toEqual([6, 9]);
  });

  it('tells an event once even when the server sends it again', async () => {
    stream.open();
    await settle();
    server.say(frame(6));
    server.say(frame(6) + frame(7));
    await settle();
    expect(seen).toEqual([6, 7]);
  });

  it('resumes from the position of a heartbeat', async () => {
    stream.open();
    await settle();
    server.say(': heartbeat\nid: 40\n\n');
    await settle();
    server.bodies.at(-1)!.error(new Error('cut'));
    await vi.advanceTimersByTimeAsync(600);
    expect(server.asked).toEqual(['5', '40']);
    expect(seen).toEqual([]);
  });

  it('takes a silent connection for a lost one', async () => {
    stream.open();
    await settle();
    server.say(': fleetbeat\n\n');
    await settle();
    expect(states).toEqual(['connecting', 'live']);
    await vi.advanceTimersByTimeAsync(24_000);
    expect(states.at(-1)).toBe('live');
    await vi.advanceTimersByTimeAsync(1_100);
    expect(states.at(-1)).toBe('lost');
  });

  it('tries again at growing pauses, and says that it is lost all the while', async () => {
    server.refuses = true;
    stream.open();
    await vi.advanceTimersByTimeAsync(500 + 1_000 + 2_000 + 4_000 + 4_000 + 50);
    expect(server.asked.length).toBe(6);
    expect(states).toEqual(['connecting', 'lost']);
    server.refuses = false;
    await vi.advanceTimersByTimeAsync(4_000);
    server.say(': fleetbeat\n\n');
    await settle();
    expect(states.at(-1)).toBe('live');
  });

  it('reconnects at once when the network is back', async () => {
    stream.open();
    await settle();
    stream.nudge(false);
    await settle();
    expect(states.at(-1)).toBe('lost');
    stream.nudge(true);
    await settle();
    expect(server.asked.length).toBe(2);
  });

  it('asks no more once it is closed', async () => {
    stream.open();
    await settle();
    stream.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.asked.length).toBe(1);
  });
});
