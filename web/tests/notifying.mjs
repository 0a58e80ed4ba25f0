// Webhooks from the page: added, tested, told, given up, mended, deleted, with a receiver of the test's own.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { KEPT, Product, eventually, freePort, leave, visit } from './house.mjs';
import { grave } from './pictures.mjs';

/** Answers every message with `status`, and remembers it. */
class Receiver {
  static async start() {
    const receiver = new Receiver();
    [receiver.status, receiver.heard] = [204, []];
    receiver.server = createServer(async (request, response) => {
      let body = '';
      for await (const part of request) body += part;
      receiver.heard.push({ signature: request.headers['webhook-signature'], ...JSON.parse(body) });
      response.writeHead(receiver.status).end();
    });
    const port = await new Promise((resolve) => receiver.server.listen(0, '127.0.0.1', () => resolve(receiver.server.address().port)));
    receiver.url = `http://127.0.0.1:${port}/in`;
    return receiver;
  }
  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

export const notifying = (world) => describe('webhooks', () => {
  test('a webhook is added, tested, told, gives up and is mended, and is deleted after its name was typed', async () => {
    const receiver = await Receiver.start();
    const product = await new Product('notifying', { 'webhooks.initial_backoff_seconds': 1, 'webhooks.max_attempts': 2 }).start();
    const page = await visit(world.browser, `${product.url}/webhooks`, { bypassCSP: true });
    await page.getByText('None: nobody is told').waitFor();
    await page.getByRole('button', { name: 'Add webhook' }).click();
    const dialog = page.locator('dialog');
    await page.fill('dialog [name=name]', 'Ops!');
    await page.fill('dialog [name=url]', 'http://elsewhere.example/in');
    await dialog.getByRole('button', { name: 'Add webhook' }).click();
    await page.waitForSelector('[name=name][aria-invalid=true]');
    assert.match(await page.textContent('[data-wrong=url]'), /must be https/);
    assert.deepEqual(await grave(page), [], 'the form with what is wrong');
    await page.screenshot({ path: join(KEPT, 'webhook-form.png') });
    await page.fill('dialog [name=name]', 'ops');
    await page.fill('dialog [name=url]', `${receiver.url}?token=s3cret`);
    await page.getByLabel('registered').check();
    await dialog.getByRole('button', { name: 'Add webhook' }).click();
    const secret = await page.textContent('[data-secret]');
    assert.match(secret, /^whsec_/);
    await page.getByRole('button', { name: 'Done' }).click();
    const row = page.locator('[data-webhook=ops]');
    await row.locator('[data-webhook-state=Healthy]').waitFor();
    assert(!(await page.content()).includes('s3cret') && !(await page.content()).includes(secret));

    await page.getByRole('button', { name: 'Test ops' }).click();
    await row.getByText(/Test delivered \(204\)/).waitFor();
    assert(receiver.heard[0].type.endsWith('WEBHOOK_TEST') && receiver.heard[0].signature);
    receiver.status = 500;
    const { id } = await product.api('/api/v1/clusters', { method: 'POST', body: { name: 'aaa-heard', api_server_url: `https://127.0.0.1:${await freePort()}` } });
    await row.getByText('1 dead letter').click();
    await page.waitForURL('**/webhooks/ops');
    const letter = page.locator('[data-letters] tr', { hasText: 'aaa-heard' });
    await letter.getByText('tried 2 times').waitFor();
    await page.locator('[data-deliveries] tr', { hasText: 'answered 500' }).first().waitFor();
    assert.deepEqual(await grave(page), [], 'a webhook with dead letters');
    await page.screenshot({ path: join(KEPT, 'webhook-letters.png') });
    await letter.getByRole('button', { name: 'Retry' }).click();
    await page.getByText(/Event failed: answered 500/).waitFor();
    receiver.status = 204;
    await letter.getByRole('button', { name: 'Retry' }).click();
    await page.getByText('None: every event was told').waitFor();
    assert.equal(receiver.heard.at(-1).subject, id);

    await page.getByRole('button', { name: 'Edit' }).click();
    await page.fill('dialog [name=label_selector]', 'env in (');
    await page.getByRole('button', { name: 'Save changes' }).click();
    await page.waitForSelector('[name=label_selector][aria-invalid=true]');
    await page.fill('dialog [name=label_selector]', 'env=prod');
    await page.fill('dialog [name=name]', 'ops-prod');
    await page.getByRole('button', { name: 'Save changes' }).click();
    await page.waitForURL('**/webhooks/ops-prod');
    await page.getByText('registered of env=prod').waitFor();
    await page.getByRole('button', { name: 'Test' }).click();
    await page.getByText(/Test delivered/).waitFor();
    assert(receiver.heard.at(-1).signature, 'the address and its secret stayed');
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.locator('[data-webhook-state=Paused]').waitFor();

    await page.getByRole('button', { name: 'Delete' }).click();
    assert(await page.isDisabled('dialog button[type=submit]'));
    await page.fill('dialog [name=confirm]', 'ops-prod');
    await page.getByRole('button', { name: 'Delete webhook' }).click();
    await page.waitForURL('**/webhooks');
    await eventually('it is gone', async () => (await product.api('/api/v1/webhooks')).items.length === 0);
    await leave(page);
    await product.stop();
    receiver.close();
  });
});
