// How it looks: every page in light and dark, from a phone to a wall, and what a checker of accessibility says.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { KEPT, ROOT, WEB, eventually, freePort, leave, visit } from './house.mjs';

const axe = readFileSync(join(WEB, 'node_modules', 'axe-core', 'axe.min.js'), 'utf8');
/** The pictures of a run that the README shows. */
const SHOWN = ['map-light', 'map-dark', 'cluster-light', 'cluster-dark'];

async function picture(page, name) {
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: join(KEPT, `${name}.png`) });
}

/** What is serious or critical. The checker is put in from outside the page, which its policy rightly forbids. */
export async function grave(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  const found = violations.filter((one) => ['serious', 'critical'].includes(one.impact));
  return found.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 140)} ${node.any[0]?.message ?? ''}`).join(' | ')}`);
}

export function pictures(world) {
  const seen = { bypassCSP: true, reducedMotion: 'reduce' };
  let troubled;

  test('picture: a fleet in trouble', async () => {
    await world.spokes.behaveAll({ share: 0.02, seed: 7 }, 'dead');
    await world.spokes.behaveAll({ share: 0.04, seed: 9 }, 'status:503', 'prometheus');
    troubled = await eventually('some trouble', async () => {
      const { by_state } = await world.product.api('/api/v1/fleet/summary');
      return by_state.OFFLINE > 5 && by_state.DEGRADED > 5 && (await world.product.names('state=OFFLINE'))[0];
    }, 90_000);
    // Nobody listens there: one that is told in vain, and one that is told nothing.
    const nowhere = `http://127.0.0.1:${await freePort()}/fleet`;
    for (const [name, more] of [['ops', {}], ['chat', { format: 'slack', event_types: ['CLUSTER_STATUS_CHANGED', 'MONITOR_DEGRADED'], label_selector: 'env=prod', enabled: false }]]) {
      await world.product.api('/api/v1/webhooks', { method: 'POST', body: { name, url: nowhere, ...more } });
    }
    const { id } = (await world.product.api('/api/v1/webhooks')).items.find((one) => one.name === 'ops');
    await world.product.api(`/api/v1/webhooks/${id}/test`, { method: 'POST' });
  });

  for (const colorScheme of ['light', 'dark']) {
    test(`picture: every page in ${colorScheme}, in which axe finds nothing serious`, async () => {
      const pages = { map: '/?group=region', table: '/table', cluster: `/clusters/${troubled}`, events: '/events', silences: '/silences', webhooks: '/webhooks', webhook: '/webhooks/ops', register: '/register' };
      for (const [name, path] of Object.entries(pages)) {
        const page = await visit(world.browser, world.product.url + path, { ...seen, colorScheme });
        await page.waitForSelector('[data-count=stale]:text-is("0")');
        if (name === 'cluster') await page.waitForSelector('canvas');
        // A rate and a percentile take two readings.
        if (SHOWN.includes(`${name}-${colorScheme}`)) for (const number of ['checks', 'lag']) await eventually(number, async () => /\d/.test(await page.textContent(`[data-number=${number}]`)));
        await picture(page, `${name}-${colorScheme}`);
        assert.deepEqual(await grave(page), [], `${name} in ${colorScheme}`);
        await leave(page);
      }
    });
  }

  test('picture: no page is wider than a phone, or lost on a wall', async () => {
    const pages = { map: '/?group=environment', table: '/table', cluster: `/clusters/${troubled}`, events: '/events', silences: '/silences', webhooks: '/webhooks', webhook: '/webhooks/ops', register: '/register' };
    for (const [screen, width, height] of [['phone', 360, 740], ['wall', 3840, 2160]]) {
      for (const [name, path] of Object.entries(pages)) {
        const page = await visit(world.browser, world.product.url + path, { ...seen, viewport: { width, height } });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        await picture(page, `${name}-${screen}`);
        assert(over <= 0, `${name} on a ${screen}: ${over} pixels too wide`);
        await leave(page);
      }
    }
  });

  test('picture: states can be told apart without seeing colours', async () => {
    const page = await visit(world.browser, `${world.product.url}/?group=region`, seen);
    const devtools = await page.context().newCDPSession(page);
    for (const type of ['protanopia', 'deuteranopia', 'tritanopia', 'achromatopsia']) {
      await devtools.send('Emulation.setEmulatedVisionDeficiency', { type });
      await picture(page, `map-${type}`);
    }
    await leave(page);
  });

  test('picture: those of the README', { skip: !process.env.FLEETBEAT_PICTURES }, () => {
    mkdirSync(join(ROOT, 'docs', 'images'), { recursive: true });
    for (const name of SHOWN) copyFileSync(join(KEPT, `${name}.png`), join(ROOT, 'docs', 'images', `${name}.png`));
  });
}
