// The table of processes: a thousand of them, filtered, sorted, page by page.

import { assert, test, until } from './rig.js';
import { openPage, shot, visit } from './page.js';
import { FAILED, PROCESSES, fullRack } from './rack_rig.js';

const PAGE = 50;

const rows = (page) => page.locator('tbody tr');
const ids = (page) => page.locator('tbody tr td:nth-child(2) a').allTextContents();

async function settle(page, count) {
  await until(`${count} rows`, 20, async () => await rows(page).count() === count);
}

test('processes.a_thousand_come_page_by_page_each_once', async () => {
  const { hub, ids: wanted } = await fullRack();
  const page = await openPage();
  await visit(page, hub.url, '#/processes');
  const seen = [];
  for (;;) {
    await rows(page).first().waitFor();
    seen.push(...await ids(page));
    const next = page.getByRole('button', { name: 'Next page' });
    if (await next.isDisabled()) {
      break;
    }
    const number = seen.length / PAGE;
    await next.click();
    await page.getByText('Page ' + (number + 1), { exact: true }).waitFor();
    await until('the next page is shown', 20, async () => (await ids(page)).length > 0 && !seen.includes((await ids(page))[0]));
  }
  for (const id of wanted) {
    assert.ok(seen.includes(id), id);
  }
  assert.equal(new Set(seen).size, seen.length);
  assert.ok(seen.length >= PROCESSES);
  await page.getByRole('button', { name: 'Previous page' }).click();
  await settle(page, PAGE);
  await page.goBack();
  page.isClean(hub.url);
  await page.done();
}, { seconds: 300 });

test('processes.are_filtered_by_failure_phone_type_status_and_time_and_sorted', async () => {
  const { hub, ids: wanted } = await fullRack();
  const page = await openPage();
  await visit(page, hub.url, '#/processes');
  await settle(page, PAGE);
  await page.getByLabel('Failed only').check();
  await until('only failed ones', 20, async () => (await rows(page).locator('td:first-child').allTextContents()).every((one) => one === 'failed'));
  assert.match(page.url(), /failed=1/);
  assert.match(await rows(page).first().locator('.preview').textContent(), /exit code: no: exit status 7/);
  const phone = await rows(page).first().locator('td:nth-child(4)').textContent();
  await page.getByLabel('Phone', { exact: true }).fill(phone);
  await page.keyboard.press('Tab');
  await until('only that phone', 20, async () => {
    const all = await rows(page).locator('td:nth-child(4)').allTextContents();
    return all.length > 0 && all.length < PAGE && all.every((one) => one === phone);
  });
  await page.getByRole('button', { name: 'Clear' }).click();
  await settle(page, PAGE);
  await page.getByLabel('Type').fill('broken');
  await page.keyboard.press('Tab');
  await until('only that type', 20, async () => (await rows(page).locator('td:nth-child(3)').allTextContents()).every((one) => one === 'broken'));
  await page.getByRole('button', { name: 'Clear' }).click();
  await settle(page, PAGE);

  await page.getByRole('button', { name: 'Status' }).click();
  await until('failed ones first', 20, async () => (await rows(page).locator('td:first-child').allTextContents())[0] === 'failed');
  assert.equal(await page.locator('th[aria-sort]').textContent(), 'Status ↓');
  await page.getByRole('button', { name: 'Created' }).click();
  await until('the newest first', 20, async () => (await page.locator('th[aria-sort]').textContent()).startsWith('Created ↓'));
  await page.getByRole('button', { name: 'Created' }).click();
  await until('the oldest first', 20, async () => (await ids(page))[0] === wanted[0]);

  await page.getByLabel('Status').selectOption('failed_terminal');
  await until('by status', 20, async () => /status=failed_terminal/.test(page.url()));
  await page.getByLabel('From').fill('2099-01-01T00:00');
  await page.keyboard.press('Tab');
  await page.getByText('No process is like that.').waitFor();
  await page.getByRole('button', { name: 'Clear' }).click();
  await settle(page, PAGE);
  page.isClean(hub.url);
  await page.done();
}, { seconds: 300 });

test('processes.new_ones_and_changes_appear_by_themselves', async () => {
  const { hub } = await fullRack();
  const page = await openPage();
  await visit(page, hub.url, '#/processes');
  await settle(page, PAGE);
  const id = await hub.api.submit('nap', 'SIM100', { seconds: 600 });
  const row = page.locator(`tr[data-id="${id}"]`);
  await row.locator('.badge', { hasText: 'executing' }).waitFor();
  await hub.api.post(`/processes/${id}/cancel`);
  await row.locator('.badge', { hasText: 'cancelled' }).waitFor();
  page.isClean(hub.url);
  await page.done();
}, { seconds: 240 });

test('processes.screenshots_in_both_themes', async () => {
  const { hub } = await fullRack();
  assert.equal((await hub.api.get('/processes?failed=1&limit=200')).processes.length >= FAILED, true);
  for (const theme of ['light', 'dark']) {
    const page = await openPage({ theme });
    await visit(page, hub.url, '#/processes');
    await settle(page, PAGE);
    await shot(page, 'table-' + theme);
    await page.done();
  }
}, { seconds: 240 });
