// Looking: tiles follow the spokes, the URL holds the view, keyboard and table show the same as the map.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { count, eventually, inTime, leave, shownState, visit } from './house.mjs';

export function watching(world) {
  test('a spoke dies and its tile changes within two seconds of the event', async () => {
    const { product, spokes } = world;
    const [victim] = await product.names('cluster_type=SPOKE');
    const page = await visit(world.browser, product.url);
    const shown = (state) => eventually('the tile', async () => (await shownState(page, victim)) === state && Date.now());
    await eventually('all online', async () => (await count(page, 'ONLINE')) === spokes.count);
    await inTime('the tile changed', 2_000, async () => {
      const before = (await product.api('/api/v1/fleet/tiles?checked_after=2100-01-01T00:00:00Z')).position;
      await spokes.behave(victim, 'dead');
      const seen = shown('OFFLINE');
      const events = () => product.api(`/api/v1/events?after=${before}&event_type=CLUSTER_STATUS_CHANGED`);
      const event = await eventually('the event', async () => (await events()).items.find((one) => one.payload.cluster_name === victim));
      const late = (await seen) - Date.parse(event.timestamp);
      await eventually('the header', async () => (await count(page, 'OFFLINE')) === 1);
      await page.goto(`${product.url}/clusters/${victim}`);
      await page.getByText('connection refused').first().waitFor();
      await page.goBack();
      await world.heal(victim);
      await shown('ONLINE');
      return late;
    });
    await leave(page);
  });

  test('the table changes with a spoke, its word, its reason and its place, and events lead to it', async () => {
    const { product, spokes } = world;
    const victim = (await product.names('cluster_type=SPOKE'))[3];
    const page = await visit(world.browser, `${product.url}/table`);
    const row = (name) => page.locator(`tr[data-name="${name}"] .state-cell`);
    const first = () => page.locator('tr[data-name]').first().getAttribute('data-name');
    await page.fill('input[type=search]', victim.slice(0, -1));
    await eventually('the victim in view', async () => /Online/.test(await row(victim).textContent()));
    await spokes.behave(victim, 'dead');
    await eventually('the changed row', async () => /Offline\s*connection refused/.test(await row(victim).textContent()), 60_000);
    await eventually('its place', async () => (await first()) === victim);
    await world.heal(victim);
    await eventually('recovery', async () => /Online$/.test((await row(victim).textContent()).trim()), 60_000);
    await page.goto(`${product.url}/events`);
    await page.locator('li .name a', { hasText: victim }).first().waitFor();
    await leave(page);
  });

  test('filter, grouping and colour are in the URL, and come back from it', async () => {
    const { product } = world;
    const page = await visit(world.browser, product.url);
    await page.keyboard.press('/');
    await page.keyboard.type('team=data type:spoke');
    await page.getByLabel('Group by').selectOption('region');
    await page.getByRole('button', { name: 'Latency' }).click();
    const url = new URL(page.url());
    assert.deepEqual(Object.fromEntries(url.searchParams), { q: 'team=data type:spoke', group: 'region', colour: 'latency' });
    const matching = (await product.api('/api/v1/clusters?label=team=data&cluster_type=SPOKE&page_size=1')).total;
    const note = new RegExp(`^\\s*${matching} of 1,000`);
    await eventually('the number of matches', async () => note.test(await page.textContent('#filter-note')));
    const again = await visit(world.browser, url.href);
    assert.equal(await again.inputValue('input[type=search]'), 'team=data type:spoke');
    assert.equal(await again.getByLabel('Group by').inputValue(), 'region');
    assert.equal(await again.getByRole('button', { name: 'Latency' }).getAttribute('aria-pressed'), 'true');
    await eventually('the same matches', async () => note.test(await again.textContent('#filter-note')));
    await leave(again);
    await page.goBack();
    await page.waitForFunction(() => !location.search.includes('colour'));
    assert.equal(await page.getByRole('button', { name: 'State' }).getAttribute('aria-pressed'), 'true');
    await leave(page);
  });

  test('a tile under the pointer tells of its cluster, and a click opens it', async () => {
    const page = await visit(world.browser, `${world.product.url}/?q=type:hub`);
    const box = await eventually('tiles', () => page.locator('#fleet canvas').boundingBox());
    await page.mouse.move(box.x + 8, box.y + 8);
    const name = await page.locator('.frame .card strong').textContent();
    assert.match(name, /^hub-/);
    await page.mouse.click(box.x + 8, box.y + 8);
    await page.waitForURL(`**/clusters/${name}`);
    await leave(page);
  });

  test('everything can be reached with the keyboard only', async () => {
    const page = await visit(world.browser, world.product.url);
    await page.keyboard.press('/');
    await page.keyboard.type('type:hub');
    await page.keyboard.press('Enter');
    await eventually('focus on the map', () => page.evaluate(() => document.activeElement.id === 'fleet'));
    await page.keyboard.press('Home');
    const first = await eventually('a spoken tile', () => page.textContent('#spoken'));
    await page.keyboard.press('ArrowRight');
    await eventually('another tile', async () => (await page.textContent('#spoken')) !== first);
    const name = (await page.textContent('#spoken')).split(',')[0];
    assert.match(name, /^hub-/);
    await page.keyboard.press('Enter');
    await page.waitForURL(`**/clusters/${name}`);
    await page.getByRole('button', { name: 'Delete' }).waitFor();
    for (let at = 0; at < 40 && (await page.evaluate(() => document.activeElement.textContent.trim())) !== 'Delete'; at += 1) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog[open]');
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog', { state: 'detached' });
    await leave(page);
  });

  test('the table shows the same, sorted and exported, with only the rows in view in the document', async () => {
    const { product, spokes } = world;
    const page = await visit(world.browser, `${product.url}/table?sort=-name`);
    await page.waitForSelector('tbody tr[data-name]');
    const rows = await page.locator('tbody tr[data-name]').count();
    assert(rows > 10 && rows < 120, `${rows} rows`);
    assert.equal(await page.getAttribute('table', 'aria-rowcount'), String(spokes.count + 1));
    await page.evaluate(() => document.querySelector('.scroller').scrollTo(0, 1e9));
    const last = (await product.api('/api/v1/clusters?page_size=1')).items[0].name;
    await page.waitForSelector(`tr[data-name="${last}"]`);
    const saved = async (button) => {
      const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: button }).click()]);
      return readFileSync(await file.path(), 'utf8');
    };
    assert.equal((await saved('Export CSV')).trim().split('\r\n').length, spokes.count + 1);
    assert.equal(JSON.parse(await saved('Export JSON')).length, spokes.count);
    await page.getByLabel(`Select ${last}`).check();
    const [only, ...others] = JSON.parse(await saved('Export JSON'));
    assert.deepEqual([only.name, others.length], [last, 0]);
    await leave(page);
  });
}
