// How smooth it is: ten thousand tiles, 360 of which change each second, against a stand-in for the server, so that
// only the page is measured. The figures are printed and kept; a machine without a GPU paints in software.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { test } from 'node:test';
import { KEPT, WEB, eventually, leave, visit } from './house.mjs';

const TILES = 10_000;
const UPDATES_PER_SECOND = 360;
const TICK_MS = 25;
const MEASURED_MS = 8_000;
const STATES = ['ONLINE', 'OFFLINE', 'DEGRADED'];
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

const tile = (at) => ({
  id: `id-${at}`, state: 'ONLINE', health_score: 100, latency_ms: 20 + (at % 300), stale: false, flapping: false, since: new Date(Date.now() - 3_600_000).toISOString(),
  last_check_at: new Date().toISOString(), reason: 'healthy', name: `spoke-${String(at).padStart(5, '0')}`, display_name: null, cluster_type: 'SPOKE', platform: 'OPENSHIFT',
  region: `region-${at % 12}`, environment: 'PRODUCTION', labels: { team: `team-${at % 7}` }, generation: 1,
});

/** Answers what the page asks for, and tells of changes as fast as it should. */
function standIn() {
  const tiles = Array.from({ length: TILES }, (_, at) => tile(at));
  let position = 1;
  const change = () => {
    position += 1;
    const one = tiles[(position * 7_919) % TILES];
    const [old_state, new_state] = [one.state, STATES[(STATES.indexOf(one.state) + 1) % STATES.length]];
    Object.assign(one, { state: new_state, since: new Date().toISOString() });
    const payload = { cluster_name: one.name, old_state, new_state, health_score: 50, reason: new_state === 'ONLINE' ? 'recovered' : 'refused' };
    const event = { event_id: `event-${position}`, event_type: 'CLUSTER_STATUS_CHANGED', cluster_id: one.id, timestamp: one.since, sequence: position, position, payload };
    return `id: ${position}\ndata: ${JSON.stringify(event)}\n\n`;
  };
  const json = (response, body) => response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
  const stream = (response) => {
    response.setHeader('content-type', 'text/event-stream').write(': fleetbeat\n\n');
    let owed = 0;
    const timer = setInterval(() => {
      let text = '';
      for (owed += (UPDATES_PER_SECOND * TICK_MS) / 1_000; owed >= 1; owed -= 1) text += change();
      response.write(text);
    }, TICK_MS);
    response.on('close', () => clearInterval(timer));
  };
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://stand-in');
    if (pathname === '/api/v1/fleet/tiles') return json(response, { position, at: new Date().toISOString(), total_clusters: TILES, held: false, tiles: searchParams.has('checked_after') ? [] : tiles });
    if (pathname === '/api/v1/events/stream') return stream(response);
    if (pathname === '/api/v1/whoami') return json(response, { id: 'local', name: 'local', method: 'open', role: 'admin', scope: { everything: true }, expires_at: null });
    if (pathname.startsWith('/api/')) return json(response.writeHead(404), {});
    if (pathname === '/metrics') return response.end('');
    const file = extname(pathname) ? pathname : 'index.html';
    return response.setHeader('content-type', TYPES[extname(file)]).end(readFileSync(join(WEB, 'dist', file)));
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

/** Times between frames for a while, and how many tiles were painted meanwhile. */
const measure = (page, forMs) =>
  page.evaluate(async (lasting) => {
    const painter = window.fleetbeatMap;
    const drawn = painter?.drawn ?? 0;
    const gaps = [];
    const start = performance.now();
    let before = start;
    while (before - start < lasting) {
      const now = await new Promise(requestAnimationFrame);
      gaps.push(now - before);
      before = now;
    }
    gaps.splice(0, 1);
    gaps.sort((a, b) => a - b);
    const at = (share) => Math.round(gaps[Math.floor((gaps.length - 1) * share)] * 10) / 10;
    return {
      frames_per_second: Math.round((gaps.length / (before - start)) * 10_000) / 10, p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99), longest_ms: at(1),
      tiles_painted_per_second: Math.round(((painter?.drawn ?? 0) - drawn) / ((before - start) / 1_000)),
    };
  }, forMs);

export function frames(world) {
  test('ten thousand tiles stay smooth while 360 of them change each second', async () => {
    const server = await standIn();
    const url = `http://127.0.0.1:${server.address().port}`;
    const bare = await visit(world.browser, `${url}/register`);
    const empty = await measure(bare, 2_000);
    await leave(bare);
    const page = await visit(world.browser, `${url}/?group=region`);
    await eventually('all tiles', async () => (await page.textContent('#filter-note')).includes('10,000 clusters'));
    await page.evaluate(() => { window.longTasks = []; new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((one) => one.duration))).observe({ entryTypes: ['longtask'] }); });
    await page.waitForTimeout(1_000);
    const devtools = await page.context().newCDPSession(page);
    await devtools.send('Performance.enable');
    const busy = async () => Object.fromEntries((await devtools.send('Performance.getMetrics')).metrics.map(({ name, value }) => [name, value]));
    const before = await busy();
    const full = await measure(page, MEASURED_MS);
    const after = await busy();
    full.main_thread_share = Math.round(((after.TaskDuration - before.TaskDuration) / (after.Timestamp - before.Timestamp)) * 1_000) / 1_000;
    full.script_share = Math.round(((after.ScriptDuration - before.ScriptDuration) / (after.Timestamp - before.Timestamp)) * 1_000) / 1_000;
    full.tasks_over_50_ms = await page.evaluate(() => window.longTasks.length);
    const figures = { tiles: TILES, updates_per_second: UPDATES_PER_SECOND, measured_ms: MEASURED_MS, map: full, page_without_map: empty };
    writeFileSync(join(KEPT, 'frames.json'), `${JSON.stringify(figures, null, 2)}\n`);
    console.log(`frames with ${TILES} tiles and ${UPDATES_PER_SECOND} updates/s: ${JSON.stringify(full)}\nframes of a page without a map: ${JSON.stringify(empty)}`);
    assert(full.tiles_painted_per_second >= UPDATES_PER_SECOND * 0.8, 'every change is painted');
    assert(full.p50_ms <= 1.5 * empty.p50_ms, `half the frames take ${full.p50_ms} ms`);
    await leave(page);
    server.closeAllConnections();
    server.close();
  });
}
