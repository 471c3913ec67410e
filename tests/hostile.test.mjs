// Requests that no well-meaning client sends, byte by byte over TLS, each with a valid session so that only their shape
// can be what stops them.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { discard, fixture, openDoor } from './door.mjs';
import { startUpstream } from './upstream.mjs';
import { Visitor } from './visitor.mjs';
import { connectTls, exchange } from './wire.mjs';

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

const SMUGGLED = 'GET /jupyter/smuggled HTTP/1.1\r\nhost: x\r\n\r\n';
const head = (lines, line = 'POST /jupyter/outer HTTP/1.1') => [line, `host: ${door.host}`, `cookie: ${member.cookieHeader()}`, ...lines, '', ''].join('\r\n');

const SHAPES = {
  'Content-Length beside Transfer-Encoding': () => `${head(['content-length: 4', 'transfer-encoding: chunked'])}0\r\n\r\n${SMUGGLED}`,
  'Transfer-Encoding before Content-Length': () => `${head(['transfer-encoding: chunked', `content-length: ${SMUGGLED.length + 5}`])}0\r\n\r\n${SMUGGLED}`,
  'two Content-Lengths that differ': () => `${head(['content-length: 0', `content-length: ${SMUGGLED.length}`])}${SMUGGLED}`,
  'a list of Content-Lengths that differ': () => `${head([`content-length: 0, ${SMUGGLED.length}`])}${SMUGGLED}`,
  'a Content-Length with a sign': () => `${head(['content-length: +0'])}${SMUGGLED}`,
  'a negative Content-Length': () => `${head(['content-length: -1'])}${SMUGGLED}`,
  'a hexadecimal Content-Length': () => `${head(['content-length: 0x0'])}${SMUGGLED}`,
  'a Content-Length that overflows': () => `${head(['content-length: 18446744073709551616'])}${SMUGGLED}`,
  'an unknown transfer coding': () => `${head(['transfer-encoding: xchunked'])}0\r\n\r\n${SMUGGLED}`,
  'chunked that is not the last coding': () => `${head(['transfer-encoding: chunked, identity'])}0\r\n\r\n${SMUGGLED}`,
  'chunked twice': () => `${head(['transfer-encoding: chunked', 'transfer-encoding: chunked'])}0\r\n\r\n${SMUGGLED}`,
  'chunked in HTTP/1.0': () => `${head(['transfer-encoding: chunked', 'connection: keep-alive'], 'POST /jupyter/outer HTTP/1.0')}0\r\n\r\n${SMUGGLED}`,
  'a chunk size that is no number': () => `${head(['transfer-encoding: chunked'])}zz\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a chunk size that overflows': () => `${head(['transfer-encoding: chunked'])}10000000000000000\r\nx\r\n0\r\n\r\n${SMUGGLED}`,
  'a chunk size with a sign': () => `${head(['transfer-encoding: chunked'])}+1\r\nx\r\n0\r\n\r\n${SMUGGLED}`,
  'a chunk longer than it says': () => `${head(['transfer-encoding: chunked'])}1\r\nxx\r\n0\r\n\r\n${SMUGGLED}`,
  'a chunk that ends in a bare LF': () => `${head(['transfer-encoding: chunked'])}1\nx\n0\n\n${SMUGGLED}`,
  'lines that end in a bare LF': () => `${head(['content-length: 0']).replaceAll('\r\n', '\n')}${SMUGGLED}`,
  'one header line that ends in a bare LF': () => `${head(['x-a: b\nx-c: d', 'content-length: 0'])}${SMUGGLED}`,
  'a bare CR in a header': () => `${head(['x-a: b\rx-c: d', 'content-length: 0'])}${SMUGGLED}`,
  'a space before the colon': () => `${head(['content-length : 0'])}${SMUGGLED}`,
  'a folded header': () => `${head(['x-a: b', ' content-length: 9', 'content-length: 0'])}${SMUGGLED}`,
  'a NUL in a header': () => `${head(['x-a: b\0c', 'content-length: 0'])}${SMUGGLED}`,
  'a header without a name': () => `${head([': b', 'content-length: 0'])}${SMUGGLED}`,
  'no Host': () => `GET /jupyter/outer HTTP/1.1\r\ncookie: ${member.cookieHeader()}\r\n\r\n${SMUGGLED}`,
  'two Hosts': () => `${head(['host: other.example', 'content-length: 0'])}${SMUGGLED}`,
  'a version that does not exist': () => `${head(['content-length: 0'], 'POST /jupyter/outer HTTP/1.7')}${SMUGGLED}`,
  'a request line without a version': () => `GET /jupyter/outer\r\n\r\n${SMUGGLED}`,
  'a target that is no path': () => `${head(['content-length: 0'], 'POST jupyter/outer HTTP/1.1')}${SMUGGLED}`,
  'a control character in the path': () => `${head(['content-length: 0'], 'POST /jupyter/\x01outer HTTP/1.1')}${SMUGGLED}`,
  'HTTP/2 without asking for it': () => `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${SMUGGLED}`,
};

const WRONG = {
  'a Host with a path in it': () => ['GET /jupyter/outer HTTP/1.1', 'a/b'],
  'a Host with a user in it': () => ['GET /jupyter/outer HTTP/1.1', `user@${door.host}`],
  'a Host with a blank in it': () => ['GET /jupyter/outer HTTP/1.1', 'a b'],
  'a NUL in the path': () => ['GET /jupyter/outer%00 HTTP/1.1', door.host],
  'CONNECT to somewhere': () => ['CONNECT other.example:443 HTTP/1.1', 'other.example:443'],
};

describe('a request of a dangerous shape', () => {
  for (const [what, bytes] of Object.entries(SHAPES)) {
    it(`is refused or cut off: ${what}`, async () => {
      const before = upstream.requests.length;
      const answer = await exchange(door, bytes());
      assert.ok(answer.closed, `the connection stays open after ${JSON.stringify(answer.text.slice(0, 200))}`);
      assert.ok(answer.statuses.length <= 1, answer.text.slice(0, 300));
      for (const status of answer.statuses) assert.ok((status >= 400 && status < 500) || status === 505, answer.text.slice(0, 300));
      assert.equal(upstream.seen('smuggled').length, 0);
      for (const request of upstream.requests.slice(before)) assert.equal(request.url, '/outer', 'only the request itself may have begun');
    });
  }
});

describe('a request that is whole but wrong', () => {
  for (const [what, parts] of Object.entries(WRONG)) {
    it(`is refused: ${what}`, async () => {
      const before = upstream.requests.length;
      const [line, host] = parts();
      const answer = await exchange(door, `${line}\r\nhost: ${host}\r\ncookie: ${member.cookieHeader()}\r\nconnection: close\r\n\r\n`);
      assert.equal(answer.statuses.length, 1, answer.text.slice(0, 300));
      assert.ok(answer.statuses[0] >= 400 && answer.statuses[0] < 500, answer.text.slice(0, 300));
      assert.equal(upstream.requests.length, before);
    });
  }
});

describe('a head without measure', () => {
  it('too long a header is 431', async () => {
    const { statuses } = await exchange(door, head([`x-long: ${'x'.repeat(100_000)}`], 'GET /jupyter/outer HTTP/1.1'));
    assert.deepEqual(statuses, [431]);
  });

  it('too many headers are 431', async () => {
    const many = Array.from({ length: 300 }, (_, at) => `x-${at}: y`);
    const { statuses } = await exchange(door, head(many, 'GET /jupyter/outer HTTP/1.1'));
    assert.deepEqual(statuses, [431]);
  });

  it('too long a target is 414 or 431', async () => {
    const { statuses } = await exchange(door, head([], `GET /jupyter/${'x'.repeat(100_000)} HTTP/1.1`));
    assert.equal(statuses.length, 1);
    assert.ok([414, 431].includes(statuses[0]), String(statuses));
  });
});

describe('connections', () => {
  it('pipelined requests are answered in order', async () => {
    const one = head([], 'GET /jupyter/first HTTP/1.1');
    const two = head(['connection: close'], 'GET /jupyter/second HTTP/1.1');
    const { statuses, text } = await exchange(door, one + two);
    assert.deepEqual(statuses, [200, 200]);
    assert.ok(text.indexOf('"/first"') < text.indexOf('"/second"'));
  });

  it('a refused request does not spoil the next one on the same connection', async () => {
    const anonymous = `GET /jupyter/anonymous HTTP/1.1\r\nhost: ${door.host}\r\n\r\n`;
    const { statuses } = await exchange(door, anonymous + head(['connection: close'], 'GET /jupyter/known HTTP/1.1'));
    assert.deepEqual(statuses, [403, 200]);
    assert.equal(upstream.seen('/anonymous').length, 0);
  });

  it('hop-by-hop headers stay on their hop', async () => {
    const { statuses } = await exchange(door, head(
      ['connection: close, x-private, kubeflow-userid', 'x-private: 1', 'keep-alive: 5', 'te: trailers', 'proxy-authorization: Basic eDp5', 'upgrade: h2c', 'http2-settings: AAMAAABk'],
      'GET /jupyter/hops HTTP/1.1',
    ));
    assert.deepEqual(statuses, [200]);
    const [{ headers }] = upstream.seen('/hops');
    for (const name of ['x-private', 'keep-alive', 'proxy-authorization', 'upgrade', 'http2-settings']) assert.equal(headers[name], undefined, name);
    assert.equal(headers['kubeflow-userid'], 'user@example.com', 'a client cannot have its identity dropped');
  });

  it('many half-open connections keep nobody out', async () => {
    const idle = await Promise.all(Array.from({ length: 60 }, () => connectTls(door)));
    for (const socket of idle) {
      socket.on('error', () => {});
      socket.write('GET /jupyter/never HTTP/1.1\r\nhost: x');
    }
    assert.equal((await member.visit('/jupyter/among-them')).status, 200);
    for (const socket of idle) socket.destroy();
  });

  it('plain text on the TLS port harms nothing', async () => {
    await new Promise((resolve) => {
      const socket = net.connect(door.https, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'));
      socket.on('data', () => {});
      socket.on('close', resolve);
      socket.on('error', () => {});
    });
    assert.equal((await member.visit('/jupyter/after')).status, 200);
  });
});
