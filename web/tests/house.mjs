// What the browser tests stand on: the real binary, simulated spokes, a browser, a connection that can be cut. Everything
// is started by the tests, on free ports and in a temporary directory, and ended by them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const WEB = join(dirname(fileURLToPath(import.meta.url)), '..');
export const ROOT = join(WEB, '..');
/** Where pictures and figures of a run are kept. */
export const KEPT = join(ROOT, 'target', 'dashboard');
const BINARIES = process.env.FLEETBEAT_BINARIES ?? join(ROOT, 'target', 'debug');
const CHROMIUM = process.env.FLEETBEAT_CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
];

export const directory = mkdtempSync(join(tmpdir(), `fleetbeat-test-${process.pid}-`));
mkdirSync(KEPT, { recursive: true });
const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});
/** Ends everything that was started; a process with children left would wait for them for ever. */
export async function endAll() {
  const all = [...children];
  for (const child of all) child.kill('SIGTERM');
  const late = setTimeout(() => all.forEach((child) => child.kill('SIGKILL')), 5_000);
  await Promise.all(all.map((child) => child.ended));
  clearTimeout(late);
}
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(1));

export const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().on('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

function start(program, args, env = {}) {
  const log = openSync(join(directory, `${program}.log`), 'a');
  const child = spawn(join(BINARIES, program), args, { cwd: directory, stdio: ['ignore', log, log], env: { PATH: process.env.PATH, HOME: directory, ...env } });
  children.add(child);
  child.ended = new Promise((resolve) => child.on('exit', () => { children.delete(child); resolve(); }));
  return child;
}

export async function ask(url, { method = 'GET', body, token, expect } = {}) {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(url, { method, signal: AbortSignal.timeout(60_000), headers, body: text });
  const answer = await response.text();
  assert(expect ? response.status === expect : response.ok, `${method} ${url}: ${response.status} ${answer.slice(0, 300)}`);
  return answer && answer.startsWith('{') ? JSON.parse(answer) : answer;
}

/** Asks again and again until there is something to answer, and gives up in time. */
export async function eventually(what, probe, withinMs = 60_000) {
  const end = Date.now() + withinMs;
  let last;
  do {
    try {
      const value = await probe();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 40));
  } while (Date.now() < end);
  throw new Error(`${what}: not within ${withinMs} ms${last ? ` (${last.message})` : ''}`);
}

/** Tries up to three times to be done in time, which a busy machine misses now and then and a slow page always. */
export async function inTime(what, limitMs, attempt) {
  const took = [];
  while (took.length < 3) {
    took.push(await attempt());
    console.log(`${what} after ${took.at(-1)} ms`);
    if (took.at(-1) < limitMs) return;
  }
  throw new Error(`${what}: not once within ${limitMs} ms: ${took}`);
}

let fleets = 0;
/** Simulated spokes and what can be done to them. */
export class Spokes {
  static async start(count, prefix = '') {
    const port = await freePort();
    const spokes = new Spokes();
    spokes.control = `http://127.0.0.1:${port}`;
    spokes.count = count;
    // Addresses of this run's own: others on this machine may simulate spokes, too.
    const base = `127.${64 + (process.pid % 60)}.${32 * fleets++}.1`;
    start('fleetbeat-loadtest', ['spokes', '--count', String(count), '--base', base, '--prefix', prefix, '--control', `127.0.0.1:${port}`]);
    // They come up one after another.
    spokes.registration = await eventually('the spokes', async () => {
      const body = await ask(`${spokes.control}/registration`);
      return body.clusters.length === count && body;
    }, 60_000);
    return spokes;
  }
  behave(name, behaviour) {
    return ask(`${this.control}/spokes/${name}/behaviour`, { method: 'PUT', body: { behaviour } });
  }
  behaveAll(select, behaviour, role) {
    return ask(`${this.control}/behaviours`, { method: 'POST', body: { select, behaviour, ...(role && { role }) } });
  }
}

/** One installation of fleetbeat; its data outlives its processes. */
export class Product {
  constructor(name, settings = {}) {
    this.name = name;
    this.data = join(directory, name);
    this.settings = settings;
  }
  async start() {
    this.port ??= await freePort();
    this.url = `http://127.0.0.1:${this.port}`;
    const settings = { 'server.listen': `127.0.0.1:${this.port}`, data_dir: this.data, ...this.settings };
    const env = Object.fromEntries(Object.entries(settings).map(([key, value]) => [`FLEETBEAT__${key.toUpperCase().replaceAll('.', '__')}`, String(value)]));
    this.process = start('fleetbeat', ['serve'], env);
    await eventually(`${this.name} to be ready`, async () => (await fetch(`${this.url}/ready`, { signal: AbortSignal.timeout(2_000) })).ok, 30_000);
    return this;
  }
  async stop() {
    this.process.kill('SIGTERM');
    await this.process.ended;
  }
  /** The token that the first start left for its administrator. */
  get firstToken() {
    return readFileSync(join(this.data, 'admin-token'), 'utf8').trim();
  }
  api(path, options) {
    return ask(`${this.url}${path}`, options);
  }
  /** Registers all spokes; what the store had no time for on a busy machine is brought again. */
  register(spokes, token) {
    return eventually('all to be registered', async () => {
      const report = await this.api('/api/v1/clusters:import', { method: 'POST', body: spokes.registration, token });
      const failed = report.items.filter((one) => one.result === 'failed');
      if (failed.length > 0) throw new Error(`${failed.length} failed: ${JSON.stringify(failed[0])}`);
      return true;
    }, 60_000);
  }
  async names(query) {
    return (await this.api(`/api/v1/clusters?page_size=100&${query}`)).items.map((one) => one.name);
  }
}

/** A TCP connection to something, which can be cut (refused, ended) or frozen (open and silent). */
export class Relay {
  static async to(port) {
    const relay = new Relay();
    relay.pairs = new Set();
    relay.server = createServer((near) => relay.join(near, connect(port, '127.0.0.1')));
    // A test that fails before it closes its relay is no reason to wait for ever.
    relay.server.unref();
    relay.port = await new Promise((resolve) => relay.server.listen(0, '127.0.0.1', () => resolve(relay.server.address().port)));
    relay.url = `http://127.0.0.1:${relay.port}`;
    return relay;
  }
  join(near, far) {
    if (this.broken) {
      near.destroy();
      far.destroy();
      return;
    }
    const pair = [near, far];
    this.pairs.add(pair);
    near.pipe(far);
    far.pipe(near);
    if (this.frozen) pair.forEach((socket) => socket.pause());
    const end = () => {
      this.pairs.delete(pair);
      pair.forEach((socket) => socket.destroy());
    };
    for (const socket of pair) socket.on('error', end).on('close', end);
  }
  cut() {
    this.broken = true;
    for (const pair of this.pairs) pair.forEach((socket) => socket.destroy());
  }
  freeze() {
    this.frozen = true;
    for (const [near, far] of this.pairs) {
      near.unpipe();
      far.unpipe();
      near.pause();
      far.pause();
    }
  }
  mend() {
    this.broken = false;
    if (this.frozen) for (const pair of this.pairs) pair.forEach((socket) => socket.destroy());
    this.frozen = false;
  }
  close() {
    this.cut();
    this.server.close();
  }
}

export const openBrowser = () => chromium.launch({ executablePath: CHROMIUM, args: FLAGS });

/** A page whose errors fail the test that leaves it, and whose requests never go to another host. */
export async function visit(browser, url, { until = '[data-stream=live]', ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.problems = [];
  const { origin } = new URL(url);
  page.on('pageerror', (error) => page.problems.push(`error: ${error.message}`));
  page.on('console', (message) => /Content Security Policy|Refused/.test(message.text()) && page.problems.push(message.text()));
  page.on('request', (request) => !request.url().startsWith(origin) && !/^(data|blob):/.test(request.url()) && page.problems.push(`asked ${request.url()}`));
  await page.goto(url);
  if (until) await page.waitForSelector(until);
  return page;
}

export async function leave(page) {
  assert.deepEqual(page.problems, []);
  await page.context().close();
}

/** The state that the map shows a cluster in. */
export const shownState = (page, name) =>
  page.evaluate((wanted) => {
    const { fleet } = window.fleetbeatMap;
    return fleet.stateOf(fleet.indexOfName(wanted));
  }, name);

/** A number of the header. */
export const count = async (page, word) => Number((await page.textContent(`[data-count=${word}]`)).replace(/\D/g, ''));
