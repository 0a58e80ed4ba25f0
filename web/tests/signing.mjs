// Who may look: signing in with a token, what roles and scopes leave to see, signing out; and the page for everybody.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { KEPT, Product, Spokes, count, eventually, leave, visit } from './house.mjs';
import { grave } from './pictures.mjs';

const SPOKES = 24;
const QUICK = Object.fromEntries(['hub', 'spoke', 'edge', 'far_edge'].flatMap((type) => [[`health_check.${type}_interval_seconds`, 4], [`health_check.${type}_timeout_seconds`, 2]]));
const SIGN_IN = 'text=Sign in to fleetbeat';

export const signing = (world) => describe('signing in', () => {
  const own = {};
  const token = (draft) => own.product.api('/api/v1/tokens', { method: 'POST', token: own.admin, body: { name: 'of a test', ...draft } });
  const signIn = async (page, text) => {
    await page.getByLabel('Token').fill(text);
    await page.getByRole('button', { name: 'Sign in with a token' }).click();
  };
  const seen = async (text, path = '/', options = {}) => {
    const page = await visit(world.browser, own.product.url + path, { until: SIGN_IN, ...options });
    await signIn(page, text);
    await page.waitForSelector('[data-stream=live]');
    return page;
  };

  before(async () => {
    const settings = { ...QUICK, 'auth.tokens.enabled': true, 'status_page.enabled': true, 'status_page.title': 'Our fleet', 'status_page.label_selector': 'team=data' };
    [own.spokes, own.product] = await Promise.all([Spokes.start(SPOKES, 'guarded-'), new Product('guarded', settings).start()]);
    own.admin = own.product.firstToken;
    await own.product.register(own.spokes, own.admin);
    own.clusters = (await own.product.api('/api/v1/clusters?page_size=100', { token: own.admin })).items;
    await eventually('all ONLINE', async () => (await own.product.api('/api/v1/fleet/summary', { token: own.admin })).by_state.ONLINE === SPOKES, 60_000);
  });
  after(() => own.product?.stop());

  test('nothing is shown before signing in, the token is in no URL, and nothing is left after signing out', async () => {
    const page = await visit(world.browser, `${own.product.url}/?group=region`, { until: SIGN_IN });
    const asked = [];
    page.on('request', (request) => asked.push(request.url()));
    await signIn(page, 'fbt_this-is-no-token');
    await page.getByText('This token is not accepted').waitFor();
    await signIn(page, own.admin);
    await page.waitForSelector('[data-stream=live]');
    await eventually('the fleet', async () => (await count(page, 'ONLINE')) === SPOKES);
    assert.equal(await page.getAttribute('[data-caller]', 'data-caller'), 'first-admin');
    assert.equal(new URL(page.url()).search, '?group=region');
    await page.reload();
    await page.waitForSelector('[data-stream=live]');
    await page.locator('summary', { hasText: 'first-admin' }).click();
    await page.getByText('the whole fleet').waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForSelector(SIGN_IN);
    assert.deepEqual(await page.evaluate(() => [{ ...localStorage }, { ...sessionStorage }, document.cookie, window.fleetbeatMap.fleet.order.length]), [{}, {}, '', 0]);
    await page.reload();
    await page.waitForSelector(SIGN_IN);
    assert(!asked.some((url) => url.includes(own.admin)) && !page.url().includes(own.admin));
    await leave(page);
  });

  test('a viewer of some clusters sees those, and no buttons that would be refused', async () => {
    const mine = own.clusters.slice(0, 3);
    const { token: text } = await token({ role: 'viewer', scope: { cluster_ids: mine.map((one) => one.id) } });
    const page = await seen(text, `/clusters/${mine[0].name}`);
    await page.getByRole('heading', { name: 'Conditions' }).waitFor();
    assert.equal(await count(page, 'ONLINE'), 3);
    for (const name of ['Check now', 'Edit', 'Delete', 'Discover now']) assert.equal(await page.getByRole('button', { name }).count(), 0, name);
    assert.equal(await page.getByRole('link', { name: 'Register' }).count(), 0);
    await page.evaluate((name) => { history.pushState(null, '', `/clusters/${name}`); dispatchEvent(new PopStateEvent('popstate')); }, own.clusters[5].name);
    await page.getByText(`No cluster named ${own.clusters[5].name}`).waitFor();
    await leave(page);
  });

  test('a token that is revoked while its bearer looks on ends that', async () => {
    const made = await token({ role: 'operator' });
    const page = await seen(made.token, '/events');
    await own.product.api(`/api/v1/tokens/${made.id}`, { method: 'DELETE', token: own.admin });
    await page.getByText('You are no longer signed in').waitFor({ timeout: 10_000 });
    assert.equal(await page.locator('li[data-position]').count(), 0);
    await leave(page);
  });

  test('everybody may see the status page, which tells only what was chosen', async () => {
    const chosen = own.clusters.filter((one) => one.labels.team === 'data');
    assert(chosen.length > 0 && chosen.length < SPOKES);
    for (const colorScheme of ['light', 'dark']) {
      const asked = [];
      const page = await visit(world.browser, `${own.product.url}/status`, { until: 'h1:text-is("Our fleet")', colorScheme, bypassCSP: true, reducedMotion: 'reduce' });
      page.on('request', (request) => asked.push(new URL(request.url()).pathname));
      await page.reload();
      await page.getByText('Everything works').waitFor();
      assert.equal(await page.locator('li').count(), chosen.length);
      assert.deepEqual(asked.filter((path) => path.startsWith('/api')), ['/api/v1/status-page']);
      const names = await page.locator('li strong').allTextContents();
      assert.deepEqual(names, chosen.map((one) => one.display_name ?? one.name).filter((name) => names.includes(name)));
      await page.screenshot({ path: join(KEPT, `status-${colorScheme}.png`) });
      assert.deepEqual(await grave(page), []);
      await leave(page);
    }
    const absent = await fetch(`${world.product.url}/status`);
    assert.equal(absent.status, 404);
  });

  test('while the monitor doubts itself a banner says so, and nothing is shown as fresh', async () => {
    const page = await seen(own.admin, '/', { bypassCSP: true, reducedMotion: 'reduce' });
    await own.spokes.behaveAll({ share: 1 }, 'unreachable');
    await page.getByText('The monitor doubts its own network').waitFor({ timeout: 60_000 });
    await eventually('stale tiles', async () => (await count(page, 'stale')) > SPOKES / 2, 30_000);
    await page.screenshot({ path: join(KEPT, 'banner.png') });
    await page.goto(`${own.product.url}/table`);
    await page.waitForSelector('tr.old');
    await page.screenshot({ path: join(KEPT, 'stale.png') });
    assert.deepEqual(await grave(page), [], 'what is stale is read as easily as the rest');
    await own.spokes.behaveAll({ share: 1 }, 'healthy');
    await page.getByText('The monitor doubts its own network').waitFor({ state: 'detached', timeout: 60_000 });
    await leave(page);
  });

  test('the sign-in page is as accessible as the others', async () => {
    const page = await visit(world.browser, own.product.url, { until: SIGN_IN, bypassCSP: true });
    await page.screenshot({ path: join(KEPT, 'sign-in.png') });
    assert.deepEqual(await grave(page), []);
    await leave(page);
  });
});
