// Bodies, streams, WebSockets and HTTP versions on their way through the door, with a session.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import http2 from 'node:http2';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { discard, fixture, openDoor, plainGet, until } from './door.mjs';
import { readEventByEvent, startUpstream } from './upstream.mjs';
import { Visitor } from './visitor.mjs';
import { openWebSocket } from './websocket.mjs';

const USER = 'user@example.com';
const MEGABYTE = 1 << 20;

let door;
let upstream;
let member;

before(async () => {
  upstream = await startUpstream();
  door = await openDoor({ manifests: fixture('kubeflow-26.03'), upstream: upstream.port });
  member = new Visitor(door);
  await member.signIn();
});
after(async () => {
  member?.close();
  await door?.close();
  await upstream?.stop();
  discard(door?.state);
});

describe('what flows through', () => {
  it('a WebSocket is upgraded with the identity of its opener, and echoes', async () => {
    const socket = await openWebSocket(door, '/jupyter/echo-socket', { cookie: member.cookieHeader(), 'kubeflow-userid': 'evil@example.com' });
    assert.equal(socket.status, 101);
    assert.ok(socket.accepted);
    assert.equal(socket.headers.get('x-seen-user'), USER);
    for (const text of ['one', 'two', 'x'.repeat(40_000)]) {
      socket.send(text);
      assert.equal(await socket.next(), `echo ${text}`);
    }
    await socket.close();
  });

  it('a WebSocket without a session is refused', async () => {
    const socket = await openWebSocket(door, '/jupyter/echo-socket-closed');
    assert.equal(socket.status, 401);
    assert.equal(upstream.seen('echo-socket-closed').length, 0);
    await socket.close();
  });

  it('events arrive while the answer is still being made', async () => {
    await readEventByEvent(member, '/jupyter');
  });

  it('100 MB come down to a slow reader in bounded memory', async () => {
    await member.visit('/jupyter/big?bytes=1000');
    door.forgetPeak();
    const before = door.memory().now;
    const response = await member.begin(`/jupyter/big?bytes=${100 * MEGABYTE}`);
    assert.equal(response.headers['content-length'], String(100 * MEGABYTE));
    // Nobody reads: whatever the door would keep, it has once the application gets rid of no more.
    const [asked] = upstream.seen(`/big?bytes=${100 * MEGABYTE}`);
    let sent = 0;
    await until('the application to be held up', async () => {
      const before = sent;
      await pause(200);
      sent = asked.sent;
      return sent > 0 && sent === before;
    });
    assert.ok(sent < 48 * MEGABYTE, `${sent} bytes were taken for a reader that reads none`);
    let bytes = 0;
    for await (const chunk of response) bytes += chunk.length;
    assert.equal(bytes, 100 * MEGABYTE);
    const grown = door.memory().highest - before;
    assert.ok(grown < 48 * MEGABYTE, `memory grew by ${grown} bytes`);
  });

  it('100 MB go up in bounded memory and arrive whole', async () => {
    const block = Buffer.from(Array.from({ length: 65536 }, (_, at) => at % 251));
    const digest = createHash('sha256');
    door.forgetPeak();
    const before = door.memory().now;
    const body = Readable.from((function* blocks() {
      for (let sent = 0; sent < 1600; sent += 1) {
        digest.update(block);
        yield block;
      }
    })());
    const answer = await member.visit('/jupyter/up', { method: 'POST', body });
    assert.equal(answer.status, 200);
    assert.equal(answer.json().bytes, 100 * MEGABYTE);
    assert.equal(answer.json().sha256, digest.digest('hex'));
    const grown = door.memory().highest - before;
    assert.ok(grown < 48 * MEGABYTE, `memory grew by ${grown} bytes`);
  });

  it('methods, bodies and status codes pass unchanged', async () => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const seen = (await member.visit('/jupyter/method', { method, body: `with ${method}` })).json();
      assert.equal(seen.method, method);
      assert.equal(seen.body, `with ${method}`);
    }
    assert.equal((await member.visit('/jupyter/head', { method: 'HEAD' })).status, 200);
    for (const status of [204, 304, 404, 418, 500]) assert.equal((await member.visit(`/jupyter/as?status=${status}`)).status, status);
  });

  it('an application that hangs up is a 503 with a page', async () => {
    const answer = await member.visit('/jupyter/hang-up', { headers: { accept: 'text/html' } });
    assert.equal(answer.status, 503);
    assert.match(answer.text, /<main/);
  });
});

describe('HTTP/2', () => {
  const ask = (session, headers) => new Promise((resolve, reject) => {
    const stream = session.request(headers);
    const chunks = [];
    let head;
    stream.on('response', (got) => { head = got; });
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('end', () => resolve({ status: head?.[':status'], headers: head, text: Buffer.concat(chunks).toString() }));
    stream.on('error', reject);
    stream.on('close', () => reject(new Error('the stream ended without an answer')));
    stream.end();
  });

  it('is spoken, with many requests at once, and decides the same', async () => {
    const session = http2.connect(door.url, { ca: door.ca });
    await new Promise((resolve, reject) => session.once('connect', resolve).once('error', reject));
    assert.equal(session.socket.alpnProtocol, 'h2');
    assert.equal((await ask(session, { ':path': '/' })).status, 403);
    const asked = Array.from({ length: 40 }, (_, at) => ask(session, {
      ':path': `/jupyter/two/${at}`, cookie: member.cookieHeader(), 'kubeflow-userid': 'evil@example.com',
    }));
    for (const [at, answer] of (await Promise.all(asked)).entries()) {
      assert.equal(answer.status, 200);
      const seen = JSON.parse(answer.text);
      assert.equal(seen.url, `/two/${at}`);
      assert.equal(seen.headers['kubeflow-userid'], USER);
      assert.equal(seen.headers.host, door.host);
    }
    session.close();
  });

  it('too big a head is refused', async () => {
    const session = http2.connect(door.url, { ca: door.ca, maxSendHeaderBlockLength: 1 << 20 });
    session.on('error', () => {});
    const big = await ask(session, { ':path': '/jupyter/big-head', cookie: member.cookieHeader(), 'x-big': 'x'.repeat(200_000) }).catch((error) => ({ error }));
    assert.ok(big.error || (big.status >= 400 && big.status < 500), String(big.status));
    assert.equal(upstream.seen('big-head').length, 0);
    session.destroy();
  });
});

describe('plain HTTP', () => {
  it('leads to HTTPS and carries nothing else', async () => {
    const answer = await plainGet(door.http, '/pipeline/?a=b', { host: `127.0.0.1:${door.http}`, cookie: member.cookieHeader() });
    assert.equal(answer.status, 301);
    assert.equal(answer.headers.location, `${door.url}/pipeline/?a=b`);
    assert.equal(answer.headers['set-cookie'], undefined);
    assert.equal(upstream.seen('a=b').filter((request) => request.url.startsWith('/pipeline')).length, 0);
  });
});
