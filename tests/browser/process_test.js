// One process: what its page shows, and what a person does there.

import { Hub, World, assert, test, until } from './rig.js';
import { isAccessible, openPage, shot, visit } from './page.js';

async function withHub(run) {
  const world = new World();
  try {
    const { ports } = await world.phones(3);
    const hub = await Hub.start(world, { ports });
    await hub.ready(3);
    const page = await openPage();
    await run({ hub, page });
    page.isClean(hub.url);
    await page.done();
  } finally {
    await world.close();
  }
}

const badge = (page, word) => page.locator('.head .badge', { hasText: word });

test('process.is_cancelled_from_its_page_and_its_history_comes_live', () => withHub(async ({ hub, page }) => {
  const id = await hub.api.submit('nap', 'SIM001', { seconds: 600 });
  await visit(page, hub.url, '#/process/' + id);
  await badge(page, 'executing').waitFor();
  await page.locator('.events li', { hasText: 'warm_up' }).first().waitFor();
  const before = await page.locator('.events li').count();
  await page.getByRole('button', { name: 'Cancel…' }).click();
  await page.getByRole('button', { name: 'Go back' }).click();
  assert.equal((await hub.api.get('/processes/' + id)).status, 'executing');
  await page.getByRole('button', { name: 'Cancel…' }).click();
  await page.getByRole('button', { name: 'Cancel the process' }).click();
  await badge(page, 'cancelled').waitFor();
  await page.getByText('It has ended').waitFor();
  assert.ok(await page.locator('.events li').count() > before);
  assert.equal(await page.getByRole('button', { name: 'Cancel…' }).count(), 0);
  assert.equal((await hub.api.get('/processes/' + id)).status, 'cancelled');
}));

test('process.shows_attempts_with_errors_output_and_the_full_log', () => withHub(async ({ hub, page }) => {
  const id = await hub.api.submit('broken', ['SIM001', 'SIM002']);
  await hub.api.ended(id, 'failed_terminal');
  await visit(page, hub.url, '#/process/' + id);
  await badge(page, 'failed').waitFor();
  await page.locator('.note.bad', { hasText: 'exit status 7' }).waitFor();
  const attempts = page.getByRole('region', { name: 'Items and attempts' });
  assert.equal(await attempts.locator('tr.attempt').count(), 2);
  assert.equal(await page.locator('.counts li', { hasText: 'failed' }).textContent(), 'failed 2');
  await attempts.getByRole('button', { name: `Full log of attempt 1 of ${id}.1` }).click();
  const log = page.getByRole('dialog');
  await log.locator('pre', { hasText: 'nothing is where it should be' }).waitFor();
  await isAccessible(page, 'log');
  const saved = page.waitForEvent('download');
  await log.getByRole('link', { name: 'Save as a file' }).click();
  assert.equal((await saved).suggestedFilename(), `${id}.1.1.log`);
  await log.getByRole('button', { name: 'Close' }).click();
  const names = await page.locator('table.tight tbody th').allTextContents();
  assert.deepEqual(names.filter((name) => ['created', 'started', 'finished'].includes(name)), ['created', 'started', 'finished']);
  for (const theme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: theme });
    await shot(page, 'details-' + theme, { fullPage: true });
  }
}));

test('process.is_suspended_resumed_settled_and_retried', () => withHub(async ({ hub, page }) => {
  const nap = await hub.api.submit('nap', 'SIM001', { seconds: 600 });
  await visit(page, hub.url, '#/process/' + nap);
  await badge(page, 'executing').waitFor();
  await page.getByRole('button', { name: 'Suspend' }).click();
  await page.getByText(/held|suspended by operator/).first().waitFor();
  await page.getByRole('button', { name: 'Resume' }).click();
  await badge(page, 'executing').waitFor();
  await hub.api.post(`/processes/${nap}/cancel`);

  const review = await hub.api.submit('review', 'SIM002');
  await page.goto(hub.url + '#/process/' + review);
  await badge(page, 'waits for review').waitFor();
  await page.getByRole('button', { name: 'Settle as failed…' }).click();
  await page.getByRole('button', { name: 'Settle as failed', exact: true }).click();
  await badge(page, 'failed').waitFor();
  await page.getByRole('button', { name: 'Retry' }).click();
  await badge(page, 'waits for review').waitFor();
  await page.locator('.events li', { hasText: 'item 2' }).first().waitFor();
  await page.getByRole('button', { name: 'Settle as done…' }).click();
  await page.getByRole('button', { name: 'Settle as done', exact: true }).click();
  await badge(page, 'completed').waitFor();
  await until('settled', 10, async () => (await hub.api.get('/processes/' + review)).status === 'completed');
}));

test('process.that_retries_shows_partial_progress_and_waits', () => withHub(async ({ hub, page }) => {
  const id = await hub.api.submit('steps', ['SIM001', 'SIM002', 'SIM003']);
  await visit(page, hub.url, '#/process/' + id);
  await page.getByText('step second').first().waitFor();
  await badge(page, 'retrying').waitFor();
  await page.locator('.progress .counts', { hasText: 'waits to retry 3' }).waitFor();
  assert.equal(await page.locator('progress').getAttribute('value'), String((await hub.api.get('/processes/' + id)).progress_percent));
  await page.getByText('waiting for retry').waitFor();
}));
