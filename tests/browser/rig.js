// rig.js - programs, a browser and a clock for the tests of the dashboard. All on loopback; each
// test ends what it started. Nothing sleeps for a fixed time: what must come is waited for.

import assert from 'node:assert/strict';
import { spawn, execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync, copyFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { cpus, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const BUILD = path.join(ROOT, 'build');
export const SHOTS = path.join(BUILD, 'screenshots');
const BIN = process.env.HUB_BIN || path.join(BUILD, 'bin');
export const SLOW = Number(process.env.HUB_SLOW || 1 + loadavg()[0] / cpus().length);

export const SECRET = 'all-scopes-secret';
export const READER = 'reader-secret';
const TOKENS = `all submit,read,operate,worker ${SECRET}\neve read ${READER}\nwork worker worker-only-secret\n`;

const CAPABILITIES = {
  nap: `[capability]
name = nap
routing = direct, queue, group
attempts = 1
[action.warm_up]
type = shell
command = echo warm
[action.nap]
type = shell
command = sleep \${seconds}
timeout_seconds = 600
`,
  steps: `[capability]
name = steps
attempts = 3
backoff_ms = 60000
retry_on = exit_code
[action.first]
type = shell
command = echo first
[action.second]
type = shell
command = sleep 2
[action.id]
type = shell
command = id
[action.third]
type = shell
command = false
`,
  broken: `[capability]
name = broken
retry_on = none
[action.look]
type = shell
command = echo nothing is where it should be
[action.no]
type = shell
command = exit 7
`,
  review: `[capability]
name = review
attempts = 1
[action.prepare]
type = shell
command = echo ready for a person
[action.look]
type = review
[action.after]
type = shell
command = echo thanks
`,
  outside: `[capability]
name = outside
runner = external
routing = direct, queue, group
attempts = 1
lease_seconds = 600
attempt_seconds = 3600
`,
};

export async function until(what, seconds, look) {
  const end = Date.now() + seconds * 1000 * SLOW;
  let last;
  for (;;) {
    try {
      const found = await look();
      if (found) {
        return found;
      }
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) {
      throw new Error(`not within ${seconds} s: ${what}${last ? `; ${last.stack}` : ''}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

// A port P such that P .. P+count-1 were free a moment ago.
export async function freePorts(count = 1) {
  const isFree = (port) => new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
  for (;;) {
    const base = 10000 + Math.floor(Math.random() * (22000 - count));
    let all = true;
    for (let port = base; all && port < base + count; port += 1) {
      all = await isFree(port);
    }
    if (all) {
      return base;
    }
  }
}

export class Program {
  constructor(name, args, { env, file } = {}) {
    this.name = name;
    this.output = '';
    this.child = spawn(file || path.join(BIN, name), args, { stdio: ['pipe', 'pipe', 'pipe'], env: env || process.env });
    this.child.stdin.on('error', () => {});
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.on('data', (data) => { this.output = (this.output + data).slice(-200000); });
    }
    this.ended = new Promise((resolve) => this.child.on('close', (code, signal) => {
      this.result = signal || code;
      resolve(this.result);
    }));
  }

  async says(text, seconds = 30) {
    await until(`${this.name} says ${text}; it said:\n${this.output.slice(-2000)}`, seconds, () => {
      assert.equal(this.result, undefined, `${this.name} ended (${this.result}):\n${this.output}`);
      return this.output.includes(text);
    });
  }

  async stop(signal = 'SIGTERM') {
    if (this.result === undefined) {
      this.child.kill(signal);
      const timer = setTimeout(() => this.child.kill('SIGKILL'), 15000 * SLOW);
      await this.ended;
      clearTimeout(timer);
    }
  }

  say(line) {
    this.child.stdin.write(line + '\n');
  }
}

// What one test, or several that share it, has started; `close` ends it, newest first.
export class World {
  constructor() {
    this.folder = mkdtempSync(path.join(tmpdir(), 'hubd-browser-'));
    this.closers = [];
  }

  path(...parts) {
    return path.join(this.folder, ...parts);
  }

  write(name, text) {
    mkdirSync(path.dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text);
    return this.path(name);
  }

  onClose(action) {
    this.closers.unshift(action);
  }

  start(name, args, options) {
    const program = new Program(name, args, options);
    this.onClose(() => program.stop());
    return program;
  }

  async close() {
    for (const action of this.closers) {
      await action();
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  async phones(count, ...options) {
    const port = await freePorts(count);
    const program = this.start('phonesim', ['--count', String(count), '--adb-tcp', `127.0.0.1:${port}`, ...options]);
    await until(`${count} phones listen`, 60, () => program.output.split(' on 127.0.0.1:').length > count);
    return { program, port, ports: Array.from({ length: count }, (_, i) => port + i) };
  }

  tokens() {
    const file = this.write('tokens', TOKENS);
    chmodSync(file, 0o600);
    return file;
  }
}

export class Api {
  constructor(port, token = SECRET) {
    this.port = port;
    this.token = token;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  }

  call(method, target, body) {
    return new Promise((resolve, reject) => {
      const request = http.request({
        host: '127.0.0.1', port: this.port, method, path: target, agent: this.agent,
        headers: { Authorization: 'Bearer ' + this.token, ...(body ? { 'Content-Type': 'application/json' } : {}) },
      }, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (data) => { text += data; });
        answer.on('end', () => {
          const isJson = (answer.headers['content-type'] || '').startsWith('application/json');
          resolve({ status: answer.statusCode, headers: answer.headers, body: isJson && text ? JSON.parse(text) : text });
        });
      });
      request.on('error', reject);
      request.end(body ? JSON.stringify(body) : undefined);
    });
  }

  async get(target) {
    const answer = await this.call('GET', target);
    assert.equal(answer.status, 200, `${target}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  post(target, body) {
    return this.call('POST', target, body || {});
  }

  // Asks for work; gives the process's id. `target`: a phone's id, phones' ids, or nothing.
  async submit(capability, target, inputs = {}) {
    const routing = Array.isArray(target) ? { routing: 'group', phone_ids: target }
      : target ? { routing: 'direct', phone_id: target } : { routing: 'queue' };
    const answer = await this.post('/capability-requests/enqueue', {
      capability, mode: 'manual', target: routing, inputs, requested_by: { system: 'tests', user: 'ann' },
    });
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    return answer.body.process_id;
  }

  ended(id, status, seconds = 30) {
    return until(`${id} is ${status}`, seconds, async () => (await this.get('/processes/' + id)).status === status);
  }

  close() {
    this.agent.destroy();
  }
}

export class Hub {
  // `more`: lines of the configuration; `env`: of the program.
  static async start(world, { ports = [], more = '', env, id = 'hub-1', vitals = 1 } = {}) {
    const hub = new Hub();
    hub.world = world;
    hub.env = env;
    hub.port = await freePorts(1);
    for (const [name, text] of Object.entries(CAPABILITIES)) {
      world.write(`capabilities/${name}.ini`, text);
    }
    copyFileSync(path.join(ROOT, 'capabilities/maintenance.ini'), world.path('capabilities/maintenance.ini'));
    mkdirSync(world.path('artifacts-' + id), { recursive: true });
    const lines = [];
    for (let i = 0; i < ports.length; i += 8) {
      lines.push('tcp = ' + ports.slice(i, i + 8).map((port) => '127.0.0.1:' + port).join(', '));
    }
    hub.config = world.write(id + '.ini', `[hub]
id = ${id}
[store]
path = ${world.path(id + '.store')}
size = 64MiB
[api]
listen = tcp:127.0.0.1:${hub.port}
token_file = ${world.tokens()}
[capabilities]
dir = ${world.path('capabilities')}
[artifacts]
dir = ${world.path('artifacts-' + id)}
[stop]
grace_seconds = 1
[phones]
vitals_seconds = ${vitals}
${lines.join('\n')}
${more}
`);
    hub.api = new Api(hub.port);
    world.onClose(() => hub.api.close());
    await hub.restart();
    return hub;
  }

  get url() {
    return `http://127.0.0.1:${this.port}/`;
  }

  async restart() {
    this.program = this.world.start('hubd', ['--config', this.config], { env: this.env });
    await this.program.says('event=listening');
    await until('hubd is ready', 20, async () => (await this.api.call('GET', '/readyz')).status === 200);
  }

  kill() {
    return this.program.stop('SIGKILL');
  }

  ready(count, seconds = 60) {
    return until(`${count} phones are ready`, seconds, async () => {
      const { phones } = await this.api.get('/phones');
      return phones.filter((phone) => phone.state === 'ready').length >= count;
    });
  }
}

// An upstreamd, and what a hub's configuration needs to sync into it.
export class Upstream {
  static async start(world, ...hubs) {
    const up = new Upstream();
    const certs = world.path('certs');
    execFileSync('bash', [path.join(ROOT, 'scripts/demo-certs.sh'), certs, '30', ...hubs], { stdio: 'ignore' });
    up.certs = certs;
    up.port = await freePorts(2);
    up.syncPort = up.port + 1;
    const config = world.write('upstreamd.ini', `[api]
listen = tcp:127.0.0.1:${up.port}
token_file = ${world.tokens()}
[sync]
listen = tcp:127.0.0.1:${up.syncPort}
ca = ${certs}/ca.crt
cert = ${certs}/server.crt
key = ${certs}/server.key
[store]
sqlite = ${world.path('fleet.db')}
`);
    const program = world.start('upstreamd', ['--config', config]);
    await program.says('event=ready');
    up.api = new Api(up.port);
    world.onClose(() => up.api.close());
    return up;
  }

  get url() {
    return `http://127.0.0.1:${this.port}/`;
  }

  section(hub) {
    return `[upstream]
url = https://127.0.0.1:${this.syncPort}
ca = ${this.certs}/ca.crt
cert = ${this.certs}/${hub}.crt
key = ${this.certs}/${hub}.key
`;
  }
}

// An emulated USB bus with phones (tests/usb); `env` is for a hubd that is to see it.
export class Bus {
  static async start(world) {
    const bus = new Bus();
    bus.program = world.start('usb_bus', [path.join(BIN, 'usb_bus')], { file: 'umockdev-wrapper' });
    await bus.program.says('bus ');
    const root = /bus (\S+)/.exec(bus.program.output)[1];
    bus.env = { ...process.env, UMOCKDEV_DIR: root, LD_PRELOAD: path.join(BIN, 'usb_shim.so') + ':libumockdev-preload.so.0' };
    return bus;
  }

  attach(port, serial) {
    this.program.say(`attach ${port} ${serial}`);
  }

  detach(port) {
    this.program.say(`detach ${port}`);
  }
}

// ---- tests ----

const tests = [];

export function test(name, run, { seconds = 120 } = {}) {
  tests.push({ name, run, seconds });
}

export async function runAll(words) {
  let passed = 0;
  let failed = 0;
  for (const { name, run, seconds } of tests) {
    if (words.length && !words.some((word) => name.includes(word))) {
      continue;
    }
    let timer;
    const started = Date.now();
    try {
      const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not finished after ${seconds} s`)), seconds * 1000 * SLOW);
      });
      await Promise.race([run(), late]);
      passed += 1;
      console.log(`ok      browser/${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  browser/${name}\n    ${String(error.stack || error).replaceAll('\n', '\n    ')}`);
    }
    clearTimeout(timer);
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

export { assert, existsSync };
