// Follows the event log over server-sent events. Resumes after the last position seen, so that nothing is missed, and
// says when the stream is lost: a silent connection counts as lost, because the server says something every 15 s.

import type { FleetEvent } from './types';

export type StreamState = 'connecting' | 'live' | 'lost';

export interface Frame {
  id?: string;
  data?: string;
}

/** Takes a byte stream's text apart into frames; keeps what is incomplete. */
export class FrameParser {
  private rest = '';

  push(chunk: string): Frame[] {
    const text = this.rest + chunk;
    const end = text.length - (text.endsWith('\r') ? 1 : 0);
    const lines = text.slice(0, end).split(/\r\n|\n|\r/);
    const frames: Frame[] = [];
    let frame: Frame = {};
    let unfinished: string[] = [];
    const last = lines.pop() ?? '';
    for (const line of lines) {
      unfinished.push(line);
      if (line === '') {
        if (frame.id !== undefined || frame.data !== undefined) frames.push(frame);
        frame = {};
        unfinished = [];
        continue;
      }
      const colon = line.indexOf(':');
      if (colon === 0) continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'id') frame.id = value;
      if (field === 'data') frame.data = frame.data === undefined ? value : `${frame.data}\n${value}`;
    }
    unfinished.push(last + text.slice(end));
    this.rest = unfinished.join('\n');
    return frames;
  }
}

export interface StreamParts {
  url: string;
  /** Position after which to begin. */
  after: number;
  onEvents: (events: FleetEvent[]) => void;
  onState: (state: StreamState) => void;
  /** What shows who is calling, asked for at every try. */
  headers?: () => Record<string, string>;
  /** The server no longer knows the caller: there is no other try. */
  onRefused?: () => void;
  fetch?: typeof fetch;
  /** Silence after which the connection counts as lost. */
  silenceMs?: number;
  /** First pause before another try; doubles up to `maxPauseMs`. */
  pauseMs?: number;
  maxPauseMs?: number;
}

export class EventStream {
  position: number;
  private controller?: AbortController;
  private timer?: ReturnType<typeof setTimeout>;
  private watchdog?: ReturnType<typeof setTimeout>;
  private failures = 0;
  private closed = false;

  constructor(private readonly parts: StreamParts) {
    this.position = parts.after;
  }

  open(): void {
    if (this.closed) return;
    clearTimeout(this.timer);
    this.parts.onState(this.failures === 0 ? 'connecting' : 'lost');
    void this.follow();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.watchdog);
    this.controller?.abort();
  }

  /** The network said that it is gone, or is back. */
  nudge(online: boolean): void {
    if (this.closed) return;
    this.controller?.abort();
    if (online) {
      this.failures = Math.max(this.failures, 1);
      this.open();
    }
  }

  private async follow(): Promise<void> {
    const controller = new AbortController();
    this.controller?.abort();
    this.controller = controller;
    this.listen(controller);
    try {
      const response = await (this.parts.fetch ?? fetch)(this.parts.url, {
        headers: { accept: 'text/event-stream', 'last-event-id': String(this.position), ...this.parts.headers?.() },
        signal: controller.signal,
        cache: 'no-store',
      });
      if (response.status === 401 && this.parts.onRefused && this.controller === controller) {
        this.close();
        this.parts.onRefused();
        return;
      }
      if (!response.ok || !response.body) throw new Error(`the stream answered ${response.status}`);
      await this.read(response.body, controller);
    } catch {
      // Lost, for whatever reason: told below.
    }
    if (this.controller === controller && !this.closed) this.lost();
  }

  private async read(body: ReadableStream<Uint8Array>, controller: AbortController): Promise<void> {
    const parser = new FrameParser();
    const decoder = new TextDecoder();
    const reader = body.getReader();
    controller.signal.addEventListener('abort', () => void reader.cancel().catch(() => undefined));
    for (;;) {
      const { done, value } = await reader.read();
      if (done || controller.signal.aborted) return;
      this.listen(controller);
      this.failures = 0;
      this.parts.onState('live');
      this.deliver(parser.push(decoder.decode(value, { stream: true })));
    }
  }

  private deliver(frames: Frame[]): void {
    const events: FleetEvent[] = [];
    for (const frame of frames) {
      const position = Number(frame.id ?? Number.NaN);
      if (frame.data !== undefined && (Number.isNaN(position) || position > this.position)) {
        events.push(JSON.parse(frame.data) as FleetEvent);
      }
      if (position > this.position) this.position = position;
    }
    if (events.length > 0) this.parts.onEvents(events);
  }

  private listen(controller: AbortController): void {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => controller.abort(), this.parts.silenceMs ?? 25_000);
  }

  private lost(): void {
    clearTimeout(this.watchdog);
    clearTimeout(this.timer);
    this.failures += 1;
    this.parts.onState('lost');
    const pause = Math.min((this.parts.pauseMs ?? 500) * 2 ** (this.failures - 1), this.parts.maxPauseMs ?? 10_000);
    this.timer = setTimeout(() => this.open(), pause);
  }
}
