// Keeps the fleet live: the snapshot, then the stream from there, then what was checked lately, every few seconds.
// Everything that components show of it beyond tiles is here as reactive state.

import { request, text, wording } from './api';
import { Fleet, type Totals } from './fleet';
import { readEngine, type EngineNumbers } from './numbers';
import { proof } from './proof';
import { EventStream, type StreamState } from './stream';
import type { FleetEvent, FleetTiles } from './types';

const REFRESH_MS = 2_000;
const NUMBERS_MS = 5_000;
const KEPT_EVENTS = 2_000;

export const fleet = new Fleet();

class Live {
  stream = $state<StreamState>('connecting');
  /** Why the fleet could not be read; empty when it was. */
  trouble = $state('');
  loaded = $state(false);
  /** Does the monitor hold states because it doubts itself? */
  held = $state(false);
  totals = $state.raw<Totals>({ clusters: 0, states: [0, 0, 0, 0], stale: 0, flapping: 0, score: 0 });
  numbers = $state.raw<EngineNumbers | undefined>(undefined);
  /** When the server last said anything, of the wall clock. */
  heardAt = $state(0);
  /** Events of this visit, the newest last. */
  events = $state.raw<FleetEvent[]>([]);
  /** Grows when clusters come, go or change their spec. */
  rolls = $state(0);
  /** Grows about once a second while tiles change. */
  beats = $state(0);

  private checkedAfter = '';
  private follower?: EventStream;
  private busy = false;

  get fresh(): boolean {
    return this.loaded && this.stream === 'live' && this.trouble === '';
  }

  start(): () => void {
    const unlisten = fleet.listen((change) => {
      this.dirty = true;
      if (change === 'roll') this.rolls += 1;
    });
    const timers = [
      setInterval(() => void this.refresh(), REFRESH_MS),
      setInterval(() => void this.read(), NUMBERS_MS),
      setInterval(() => this.count(), 500),
    ];
    const offline = () => this.follower?.nudge(false);
    const online = () => this.follower?.nudge(true);
    const looked = () => void this.refresh();
    window.addEventListener('offline', offline);
    window.addEventListener('online', online);
    document.addEventListener('visibilitychange', looked);
    void this.load();
    // Two readings make a rate.
    void this.read().then(() => setTimeout(() => void this.read(), 1_500));
    return () => {
      unlisten();
      timers.forEach(clearInterval);
      window.removeEventListener('offline', offline);
      window.removeEventListener('online', online);
      document.removeEventListener('visibilitychange', looked);
      this.follower?.close();
      this.forget();
    };
  }

  /** Nothing is left for the next caller to see. */
  private forget(): void {
    fleet.replace([]);
    [this.follower, this.checkedAfter, this.dirty] = [undefined, '', false];
    [this.loaded, this.held, this.trouble, this.stream, this.heardAt] = [false, false, '', 'connecting', 0];
    [this.events, this.numbers, this.totals] = [[], undefined, fleet.totals()];
    this.visit += 1;
  }

  /** Answers to what an earlier caller asked are dropped. */
  private visit = 0;

  private dirty = false;

  private count(): void {
    if (!this.dirty) return;
    this.dirty = false;
    this.totals = fleet.totals();
    this.beats += 1;
  }

  private async load(): Promise<void> {
    const visit = this.visit;
    this.busy = true;
    try {
      const all = await request<FleetTiles>('/api/v1/fleet/tiles');
      if (visit !== this.visit) return;
      fleet.replace(all.tiles);
      this.take(all);
      this.loaded = true;
      this.count();
      if (!this.follower) this.follow(all.position);
    } catch (error) {
      if (visit === this.visit) this.trouble = wording(error);
    } finally {
      this.busy = false;
    }
  }

  private take(answer: FleetTiles): void {
    this.checkedAfter = answer.at;
    this.held = answer.held;
    this.heardAt = Date.now();
    this.trouble = '';
  }

  private async refresh(): Promise<void> {
    if (this.busy || document.hidden) return;
    if (!this.loaded) return this.load();
    const visit = this.visit;
    this.busy = true;
    try {
      // One second over, for checks that ended while the last answer was made.
      const after = new Date(Date.parse(this.checkedAfter) - 1_000).toISOString();
      const news = await request<FleetTiles>(`/api/v1/fleet/tiles?checked_after=${encodeURIComponent(after)}`, { patienceMs: 10_000 });
      if (visit !== this.visit) return;
      fleet.refresh(news.tiles);
      this.take(news);
      if (news.total_clusters !== fleet.order.length && this.stream === 'live') this.recount += 1;
      else this.recount = 0;
      if (this.recount >= 3) await this.load();
    } catch (error) {
      if (visit === this.visit) this.trouble = wording(error);
    } finally {
      this.busy = false;
    }
  }

  /** How many answers in a row told another number of clusters than is shown. */
  private recount = 0;

  private async read(): Promise<void> {
    if (document.hidden) return;
    try {
      this.numbers = readEngine(await text('/metrics?clusters=false', { patienceMs: 5_000 }), performance.now(), this.numbers);
    } catch {
      this.numbers = undefined;
    }
  }

  private follow(position: number): void {
    this.follower = new EventStream({
      url: '/api/v1/events/stream',
      after: position,
      onState: (state) => {
        if (this.stream !== state) this.stream = state;
      },
      onEvents: (events) => this.hear(events),
      headers: () => proof.headers(),
      onRefused: () => proof.onRefused(),
    });
    this.follower.open();
  }

  private hear(events: FleetEvent[]): void {
    fleet.apply(events);
    this.heardAt = Date.now();
    for (const event of events) {
      if (event.event_type === 'MONITOR_DEGRADED') this.held = true;
      if (event.event_type === 'MONITOR_RECOVERED') this.held = false;
    }
    this.events = [...this.events, ...events].slice(-KEPT_EVENTS);
  }
}

export const live = new Live();
