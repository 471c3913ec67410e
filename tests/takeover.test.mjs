// A new process takes over from the one that runs: no request fails, and nobody has to sign in again.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BINARY, discard, fixture, openDoor, run, scratch, until } from './door.mjs';
import { startUpstream } from './upstream.mjs';
import { Visitor } from './visitor.mjs';
import { openWebSocket } from './websocket.mjs';

const TREE = fixture('kubeflow-26.03');
const PEERS = fileURLToPath(new URL('./peers/', import.meta.url));

let upstream;
before(async () => { upstream = await startUpstream(); });
after(() => {
  over = true;
  for (const door of left) door.signal('SIGKILL');
  return upstream?.stop();
});

/** Ends the load of a failed test. */
let over = false;
/** What a failed test leaves running. */
const left = new Set();
async function open(options = {}) {
  const door = await openDoor({ manifests: TREE, upstream: upstream.port, ...options });
  left.add(door);
  return door;
}
const succeed = (door, args = [], options = {}) => open({ state: door.state, args: ['--take-over', ...args], ...options });
const arguments_ = (door, ...args) => ['up', '--manifests', TREE, '--resolve', `*=127.0.0.1:${upstream.port}`, '--state', door.state, '--https', '127.0.0.1:0', '--http', '127.0.0.1:0', '--admin', '127.0.0.1:0', ...args];

/** One request over HTTP/1.1: `{ status, headers, text, reused }`. */
function ask(door, path, { cookie, agent = false } = {}) {
  return new Promise((resolve, reject) => {
    const request = https.get({ host: '127.0.0.1', port: door.https, path, agent, ca: door.ca, headers: cookie ? { cookie } : {} }, async (response) => {
      try {
        let text = '';
        for await (const chunk of response) text += chunk;
        resolve({ status: response.statusCode, headers: response.headers, text, reused: request.reusedSocket });
      } catch (error) {
        reject(error);
      }
    });
    request.on('error', reject);
  });
}

/** An HTTP/2 client that goes to a new connection when it is sent away, as browsers do. */
class Http2Client {
  connections = 0;
  refused = 0;
  #session;

  constructor(door) {
    this.door = door;
  }

  #connection() {
    if (!this.#session || this.#session.closed || this.#session.destroyed) {
      this.#session = http2.connect(this.door.url, { ca: this.door.ca });
      this.#session.on('error', () => {});
      this.connections += 1;
    }
    return this.#session;
  }

  /** A stream that is refused was not looked at, and is sent again (RFC 9113 §8.7). */
  async ask(path, cookie) {
    for (;;) {
      try {
        return await this.#once(path, cookie);
      } catch (error) {
        if (!/NGHTTP2_REFUSED_STREAM/.test(error.message)) throw error;
        this.refused += 1;
      }
    }
  }

  async #once(path, cookie) {
    const stream = this.#connection().request({ ':path': path, cookie });
    const headers = once(stream, 'response');
    let text = '';
    stream.setEncoding('utf8');
    stream.on('data', (chunk) => { text += chunk; });
    const [head] = await headers;
    if (!stream.readableEnded) await once(stream, 'end');
    return { status: head[':status'], text };
  }

  close() {
    this.#session?.close();
  }
}

/** Constant load until `stop`, by somebody signed in; every answer must be the application's. */
function load(door, cookie) {
  const run = randomUUID();
  const counts = { kept: 0, fresh: 0, streams: 0 };
  const failed = [];
  const agent = new https.Agent({ keepAlive: true, ca: door.ca });
  const client = new Http2Client(door);
  let stopped = false;
  let number = 0;
  const again = async (kind, request) => {
    while (!stopped && !over) {
      const path = `/jupyter/${run}/${kind}-${number += 1}`;
      try {
        const answer = await request(path);
        assert.equal(answer.status, 200);
        assert.equal(JSON.parse(answer.text).headers['kubeflow-userid'], 'user@example.com');
        counts[kind] += 1;
      } catch (error) {
        failed.push(`${path}: ${error.code ?? ''} ${error.message}`);
      }
      // Some connections are busy all the time and some rest between two requests.
      if (Math.random() < 0.5) await pause(Math.random() * 20);
    }
  };
  const runners = [
    ...Array.from({ length: 6 }, () => again('kept', (path) => ask(door, path, { cookie, agent }))),
    ...Array.from({ length: 4 }, () => again('fresh', (path) => ask(door, path, { cookie }))),
    ...Array.from({ length: 4 }, () => again('streams', (path) => client.ask(path, cookie))),
  ];
  return {
    counts,
    http2: client,
    /** Ends it: no request may have failed, and the application has seen each once. */
    async stop() {
      stopped = true;
      await Promise.all(runners);
      agent.destroy();
      client.close();
      assert.deepEqual(failed, []);
      const seen = upstream.seen(run).map(({ url }) => url);
      assert.equal(seen.length, counts.kept + counts.fresh + counts.streams);
      assert.equal(new Set(seen).size, seen.length);
    },
  };
}

describe('a take-over', () => {
  it('fails no request, whatever the number of workers, three times over', { timeout: 120_000 }, async () => {
    let door = await open({ args: ['--workers', '1'] });
    const { state } = door;
    const member = new Visitor(door);
    await member.signIn();
    const cookie = member.cookieHeader();
    const publishedKeys = async () => (await member.visit('/dex/keys')).text;
    await until('the next key to be published', async () => JSON.parse(await publishedKeys()).keys.length === 2);
    const keys = await publishedKeys();
    const statements = (await member.visit('/doorward/.well-known/jwks.json')).text;
    const ports = [door.https, door.http, door.adminPort];
    const client = load(door, cookie);
    for (const workers of [3, 1, 3]) {
      const before = { ...client.counts };
      await until('load', () => Object.keys(before).every((kind) => client.counts[kind] > before[kind] + 20));
      const path = `/jupyter/stream?count=40&every=50&to=${workers}`;
      const stream = member.begin(path);
      const tunnel = await openWebSocket(door, '/jupyter/socket', { cookie });
      assert.equal(tunnel.status, 101);
      const ticks = (async () => {
        let text = '';
        for await (const chunk of await stream) text += chunk;
        return text.split('\n\n').filter(Boolean).length;
      })();
      await stream;

      const old = door;
      door = await succeed(old, ['--workers', String(workers)]);
      assert.deepEqual([door.https, door.http, door.adminPort], ports, 'the same addresses');
      assert.equal(JSON.parse((await door.admin('/readyz')).text).ready, true);
      tunnel.send('still there?');
      assert.equal(await tunnel.next(), 'echo still there?');
      assert.equal(await ticks, 40, 'the stream ends whole');
      await tunnel.close();
      assert.equal(await old.end(), 0);
      assert.ok(old.output().includes('/jupyter/stream'), 'in the old process');

      const served = { ...client.counts };
      await until('load on the new one', () => Object.keys(served).every((kind) => client.counts[kind] > served[kind] + 20));
      const visitor = new Visitor(door);
      assert.equal((await visitor.visit('/dex/keys')).text, keys);
      assert.equal((await visitor.visit('/doorward/.well-known/jwks.json')).text, statements);
      assert.equal((await new Visitor(door).signIn({ want: '/jupyter/new' })).status, 200);
      visitor.close();
    }
    await client.stop();
    console.log(`${JSON.stringify(client.counts)} requests, none failed; ${client.http2.connections} HTTP/2 connections, ${client.http2.refused} streams refused and sent again`);
    assert.ok(client.http2.connections >= 4, 'HTTP/2 was sent to each new process');
    member.close();
    assert.equal(await door.close(), 0);
    discard(state);
  });

  it('a session ended in one process is ended in both', { timeout: 60_000 }, async () => {
    const door = await open();
    const leavers = [];
    for (let number = 0; number < 2; number += 1) {
      const leaver = new Visitor(door);
      await leaver.signIn();
      const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
      const cookie = leaver.cookieHeader();
      assert.equal((await ask(door, '/jupyter/x', { cookie, agent })).status, 200);
      leaver.close();
      leavers.push({ agent, cookie });
    }
    // Keeps the old process there until its answer has ended.
    const witness = new Visitor(door);
    await witness.signIn();
    const inFlight = witness.visit('/jupyter/held?witness');
    await upstream.arrival('/held?witness');
    const successor = await succeed(door);
    const [one, two] = leavers;
    for (const { cookie } of leavers) assert.equal((await ask(successor, '/jupyter/x', { cookie })).status, 200);

    // Out in the new process: the old one must not remember.
    assert.equal((await ask(successor, '/oauth2/sign_out', { cookie: one.cookie })).status, 302);
    const inOld = await ask(door, '/jupyter/x', { cookie: one.cookie, agent: one.agent });
    assert.equal(inOld.reused, true, 'on the connection to the old process');
    assert.equal(inOld.headers.connection, 'close');
    assert.equal(inOld.status, 403);

    // Out in the old process: the new one must not remember either.
    const out = await ask(door, '/oauth2/sign_out', { cookie: two.cookie, agent: two.agent });
    assert.equal(out.reused, true, 'on the connection to the old process');
    assert.equal(out.status, 302);
    assert.equal((await ask(successor, '/jupyter/x', { cookie: two.cookie })).status, 403);

    upstream.release();
    assert.equal((await inFlight).status, 200);
    witness.close();
    assert.equal(await door.end(), 0);
    await until('the end of the overlap', () => successor.output().includes('the doorward that ran before has ended'));
    for (const { agent, cookie } of leavers) {
      assert.equal((await ask(successor, '/jupyter/x', { cookie })).status, 403);
      agent.destroy();
    }
    await successor.close();
    discard(door.state);
  });

  it('a successor that is killed, hangs or cannot serve leaves the old process as it was', { timeout: 60_000 }, async () => {
    const door = await open();
    const member = new Visitor(door);
    await member.signIn();
    const cookie = member.cookieHeader();
    const client = load(door, cookie);

    assert.equal(statSync(join(door.state, 'hand-over.sock')).mode & 0o777, 0o600);
    // It has the sockets, and serves nothing.
    const hanging = spawn('python3', [join(PEERS, 'successor.py'), door.state], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = await once(createInterface(hanging.stdout), 'line');
    const { roles, descriptors } = JSON.parse(line);
    assert.equal(descriptors, roles.length);
    for (const role of ['lock', 'admin']) assert.equal(roles.filter((one) => one === role).length, 1, line);
    for (const port of [443, 80]) assert.ok(roles.some((one) => one.gateway === port), line);
    // Meanwhile others are refused, and told why.
    const second = await run(...arguments_(door, '--take-over'));
    assert.equal(second.code, 1);
    assert.match(second.stderr, /another process is taking over at this moment/);
    const third = await run(...arguments_(door));
    assert.equal(third.code, 1);
    assert.match(third.stderr, /held by another doorward/);
    hanging.kill('SIGKILL');
    await until('the old process to know', () => door.output().includes('did not get to serve'));
    // The end of a session was asked of the store meanwhile; now memory counts again.
    assert.equal((await member.visit('/jupyter/x')).status, 200);

    // Killed at moments of its start, long before it serves: shares of the time that a start takes here.
    for (const share of [0, 0.05, 0.1]) {
      const readyFile = join(scratch(), 'ready.json');
      const doomed = spawn(BINARY, arguments_(door, '--take-over', '--ready-file', readyFile), { stdio: 'ignore' });
      await pause(share * door.opened);
      const served = existsSync(readyFile);
      doomed.kill('SIGKILL');
      await once(doomed, 'exit');
      assert.ok(!served, 'killed before it served');
      discard(join(readyFile, '..'));
    }

    // An address that somebody else has, and a setting that is none.
    const taken = await run(...arguments_(door, '--take-over').map((word, at, all) => (all[at - 1] === '--http' ? `127.0.0.1:${upstream.port}` : word)));
    assert.equal(taken.code, 1);
    assert.ok(taken.stderr.includes(`127.0.0.1:${upstream.port}`), taken.stderr);
    assert.equal((await run(...arguments_(door, '--take-over', '--workers', '0'))).code, 2);

    const served = { ...client.counts };
    await until('load', () => Object.keys(served).every((kind) => client.counts[kind] > served[kind] + 20));
    await client.stop();
    member.close();

    // And it can still be taken over from.
    const successor = await succeed(door);
    assert.equal(await door.end(), 0);
    assert.equal((await ask(successor, '/jupyter/x', { cookie })).status, 200);
    // The lock came with the sockets.
    const late = await run(...arguments_(door));
    assert.equal(late.code, 1);
    assert.match(late.stderr, /held by another doorward/);
    await successor.close();
    assert.ok(!existsSync(join(door.state, 'hand-over.sock')));
    discard(door.state);
  });

  it('of two at once one serves in the end, and nobody else does', { timeout: 60_000 }, async () => {
    const door = await open();
    const member = new Visitor(door);
    await member.signIn();
    const cookie = member.cookieHeader();
    const client = load(door, cookie);
    const both = await Promise.allSettled([succeed(door), succeed(door)]);
    const opened = both.filter((one) => one.status === 'fulfilled').map((one) => one.value);
    for (const one of both) {
      if (one.status === 'rejected') assert.match(one.reason.message, /cannot be taken over: |held by another doorward/);
    }
    assert.ok(opened.length > 0);
    assert.equal(await door.end(), 0);
    // The second may have been late enough to take over from the first.
    if (opened.length === 2) {
      const ended = await Promise.race(opened.map(async (one) => { await one.end(); return one; }));
      opened.splice(opened.indexOf(ended), 1);
    }
    const [winner] = opened;
    await client.stop();
    assert.equal((await ask(winner, '/jupyter/x', { cookie })).status, 200);
    member.close();
    assert.equal(await winner.close(), 0);
    discard(door.state);
  });

  it('with other addresses it serves there, and with none to take over from it just starts', { timeout: 60_000 }, async () => {
    const state = scratch();
    const first = await open({ state, args: ['--take-over'] });
    const second = await open({ state, args: ['--take-over=on', '--admin', '127.0.0.2:0'] }).catch((error) => error);
    assert.match(second.message, /cannot be used multiple times/);
    const moved = spawn(BINARY, arguments_(first, '--take-over', '--ready-file', join(state, 'moved.json')).map((word, at, all) => (all[at - 1] === '--https' ? '127.0.0.2:0' : word)), { stdio: 'ignore' });
    left.add({ signal: (name) => moved.kill(name) });
    await until('the move', () => existsSync(join(state, 'moved.json')));
    assert.equal(await first.end(), 0);
    await assert.rejects(ask(first, '/'), /ECONNREFUSED/);
    assert.equal((await first.admin('/healthz')).status, 200);
    moved.kill('SIGTERM');
    assert.equal((await once(moved, 'exit'))[0], 0);
    discard(state);
  });
});

describe('sockets of a service manager', () => {
  it('stay open over a restart: who comes meanwhile waits and is served', { timeout: 60_000 }, async () => {
    const state = scratch();
    const command = [BINARY, 'up', '--manifests', TREE, '--resolve', `*=127.0.0.1:${upstream.port}`, '--state', state];
    const manager = spawn('python3', [join(PEERS, 'activate.py'), 'https,http,admin', ...command], { stdio: ['pipe', 'pipe', 'inherit'] });
    const told = [];
    createInterface(manager.stdout).on('line', (line) => told.push(JSON.parse(line)));
    const { ports } = await until('the sockets', () => told.find((one) => one.ports));
    const door = { url: `https://127.0.0.1:${ports.https}`, https: ports.https, ca: undefined };
    const readiness = () => told.filter((one) => one.notified === 'READY=1').length;

    manager.stdin.write('start\n');
    await until('readiness', () => readiness() === 1);
    assert.ok(told.some((one) => /^MAINPID=\d+$/.test(one.notified)), JSON.stringify(told));
    door.ca = execFileSync('cat', [join(state, 'ca.crt')], { encoding: 'utf8' });
    const member = new Visitor(door);
    await member.signIn();
    const cookie = member.cookieHeader();
    member.close();

    const inFlight = ask(door, '/jupyter/held?restart', { cookie });
    await upstream.arrival('/held?restart');
    manager.stdin.write('restart\n');
    await until('the stop', () => told.some((one) => one.notified === 'STOPPING=1'));
    // Nobody accepts now.
    const waiting = Array.from({ length: 10 }, (_, number) => ask(door, `/jupyter/waiting-${number}`, { cookie }));
    upstream.release();
    assert.equal((await inFlight).status, 200);
    for (const answer of await Promise.all(waiting)) assert.equal(answer.status, 200);
    assert.equal(readiness(), 2);
    manager.stdin.end();
    assert.equal((await once(manager, 'exit'))[0], 0);
    assert.deepEqual(told.filter((one) => 'exited' in one).map((one) => one.exited), [0, 0]);
    discard(state);
  });
});
