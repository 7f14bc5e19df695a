// page.js - the browser, and what the tests ask of a page.

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { BUILD, READER, SECRET, SHOTS, SLOW, assert } from './rig.js';

// The packages lie under build/, where `make browser` has put them by the lock file.
const require = createRequire(path.join(BUILD, 'browser/'));
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

let browser = null;

export async function openBrowser() {
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    headless: true,
    // As root, as in a container of CI, Chromium's own sandbox cannot run.
    args: [...(process.getuid() === 0 ? ['--no-sandbox'] : []), '--disable-gpu', '--disable-dev-shm-usage'],
  });
  return browser;
}

export async function closeBrowser() {
  await browser?.close();
}

// A new tab in a context of its own. What goes wrong in it fails the test that calls `isClean`.
export async function openPage({ width = 1440, height = 900, theme = 'light', scale = 1 } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, deviceScaleFactor: scale, reducedMotion: 'no-preference' });
  const page = await context.newPage();
  page.setDefaultTimeout(20000 * SLOW);
  const problems = [];
  const asked = new Set();
  page.on('pageerror', (error) => problems.push('error: ' + error.stack));
  page.on('console', (message) => {
    const text = message.text();
    // The browser itself reports answers of 4xx and lost connections; the page says them to people.
    if ((message.type() === 'error' && !/Failed to load resource|net::ERR_/.test(text)) || /Content.Security.Policy/i.test(text)) {
      problems.push('console: ' + text);
    }
  });
  page.on('request', (request) => asked.add(new URL(request.url()).origin));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => console.error('Content-Security-Policy: ' + event.violatedDirective + ' ' + event.blockedURI));
  });
  page.problems = problems;
  page.origins = asked;
  page.isClean = (url) => {
    assert.deepEqual(problems, []);
    assert.deepEqual([...asked].filter((origin) => origin !== new URL(url).origin && !origin.startsWith('blob:') && origin !== 'null'), []);
  };
  page.done = () => context.close();
  return page;
}

export async function enter(page, url, token = SECRET) {
  await page.goto(url);
  await page.getByLabel('Token', { exact: true }).fill(token);
  await page.getByRole('button', { name: 'Enter' }).click();
}

// Opens a view with the token in the tab already, as after a reload.
export async function visit(page, url, hash = '', token = SECRET) {
  await page.addInitScript((value) => sessionStorage.setItem('hubd-token', value), token);
  await page.goto(url + hash);
}

export async function shot(page, name, options = {}) {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SHOTS, name + '.png'), ...options });
}

// No violation of any rule that axe-core has for WCAG 2.2 A and AA, and of its good practice.
export async function isAccessible(page, where) {
  await page.evaluate((text) => { if (!window.axe) { (0, eval)(text); } }, AXE).catch(async () => {
    await page.addScriptTag({ content: AXE });
  });
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  assert.deepEqual(violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.target.join(' ') + ' ' + (node.any[0]?.message || '')).join(' | ')}`), [], where);
}

export { READER };

// The browser's own trace of a page, from now until `stop`, which gives its events.
export async function tracing(page) {
  const session = await browser.newBrowserCDPSession();
  const events = [];
  session.on('Tracing.dataCollected', ({ value }) => events.push(...value));
  await session.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: { includedCategories: ['toplevel', 'devtools.timeline', 'disabled-by-default-devtools.timeline', 'cc', 'benchmark', 'viz', '__metadata'], recordMode: 'recordUntilFull' },
  });
  return {
    stop: async () => {
      const done = new Promise((resolve) => session.once('Tracing.tracingComplete', resolve));
      await session.send('Tracing.end');
      await done;
      await session.detach();
      return events;
    },
  };
}
