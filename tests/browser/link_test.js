// Tokens, and whether what is shown is live.

import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { Hub, READER, SECRET, World, assert, test, until } from './rig.js';
import { enter, isAccessible, openPage, shot, visit } from './page.js';

async function withHub(count, run) {
  const world = new World();
  try {
    const phones = count ? await world.phones(count) : { ports: [] };
    const hub = await Hub.start(world, { ports: phones.ports });
    await hub.ready(count);
    await run({ world, hub, phones });
  } finally {
    await world.close();
  }
}

test('link.a_wrong_token_is_said_and_a_right_one_stays_in_its_tab', () => withHub(1, async ({ hub }) => {
  const page = await openPage();
  await enter(page, hub.url, 'not-a-token');
  const alert = page.getByRole('alert');
  await alert.filter({ hasText: 'does not know that token' }).waitFor();
  await isAccessible(page, 'wrong token');
  await shot(page, 'token-wrong-light');
  await enter(page, hub.url, 'worker-only-secret');
  await alert.filter({ hasText: 'may not read: its scopes are worker' }).waitFor();
  await enter(page, hub.url, SECRET);
  await page.locator('a.cell').first().waitFor();
  await page.reload();
  await page.locator('a.cell').first().waitFor();
  const kept = await page.evaluate(() => [Object.values(sessionStorage), Object.values(localStorage), document.cookie]);
  assert.deepEqual(kept[0], [SECRET]);
  assert.ok(!JSON.stringify(kept.slice(1)).includes(SECRET));
  const other = await page.context().newPage();
  await other.goto(hub.url);
  await other.getByLabel('Token', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Forget token' }).click();
  await page.getByLabel('Token', { exact: true }).waitFor();
  assert.deepEqual(await page.evaluate(() => Object.values(sessionStorage)), []);
  page.isClean(hub.url);
  await page.done();
}));

test('link.a_token_that_is_withdrawn_is_asked_for_again', () => withHub(1, async ({ world, hub }) => {
  const page = await openPage();
  await visit(page, hub.url, '', READER);
  await page.locator('a.cell').first().waitFor();
  const file = world.path('tokens');
  writeFileSync(file, readFileSync(file, 'utf8').split('\n').filter((line) => !line.includes(READER)).join('\n'));
  chmodSync(file, 0o600);
  hub.program.child.kill('SIGHUP');
  await page.getByRole('alert').filter({ hasText: 'not taken any more' }).waitFor({ timeout: 40000 });
  await page.done();
}));

test('link.a_hub_that_is_killed_is_said_to_be_stale_and_goes_on_by_itself', () => withHub(2, async ({ hub }) => {
  const page = await openPage();
  await visit(page, hub.url);
  await page.locator('#link.live').waitFor();
  await page.locator('a.cell').nth(1).waitFor();
  await hub.kill();
  await page.getByRole('alert').filter({ hasText: 'Stale:' }).waitFor();
  assert.equal(await page.locator('#link').textContent(), 'Not live');
  await isAccessible(page, 'stale');
  await shot(page, 'stale-light');
  await hub.restart();
  await page.locator('#link.live').waitFor();
  await page.locator('#stale').waitFor({ state: 'hidden' });
  await hub.ready(2);
  await page.locator('.badge', { hasText: 'ready' }).nth(2).waitFor();
  const id = await hub.api.submit('broken', 'SIM001');
  await page.locator('a.cell', { hasText: 'SIM001' }).filter({ hasText: 'exit status 7' }).waitFor();
  await hub.api.ended(id, 'failed_terminal');
  page.isClean(hub.url);
  await page.done();
}));

test('link.a_hub_that_says_nothing_is_said_to_be_stale', () => withHub(1, async ({ hub }) => {
  const page = await openPage();
  await visit(page, hub.url);
  await page.locator('#link.live').waitFor();
  hub.program.child.kill('SIGSTOP');
  try {
    await page.getByRole('alert').filter({ hasText: 'nothing was heard' }).waitFor({ timeout: 30000 });
  } finally {
    hub.program.child.kill('SIGCONT');
  }
  await page.locator('#link.live').waitFor();
  await page.done();
}));

test('link.a_stream_goes_on_behind_the_last_event_and_not_from_the_start', () => withHub(2, async ({ hub }) => {
  const page = await openPage();
  const sent = [];
  page.on('request', (request) => {
    if (new URL(request.url()).pathname === '/stream') {
      sent.push(request.headers()['last-event-id']);
    }
  });
  await visit(page, hub.url);
  await page.locator('#link.live').waitFor();
  await until('the stream came again', 60, () => sent.length >= 2);
  assert.equal(sent[0], undefined);
  assert.ok(Number(sent[1]) > 0, String(sent));
  assert.ok(await page.locator('#link.live').isVisible(), 'the usual end of a stream is no loss');
  page.isClean(hub.url);
  await page.done();
}));
