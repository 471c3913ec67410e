// gRPC, WebSockets and HTTP/2 end to end with implementations that are not ours: Python's grpcio and websockets, Node's
// http2, curl with nghttp2, Chromium.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import http2 from 'node:http2';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { openBrowser } from './browser.mjs';
import { discard, openDoor, scratch, until } from './door.mjs';
import { gateway, manifest, prefixTo, service, virtualService } from './objects.mjs';
import { askPython, startPython } from './python.mjs';
import { startUpstream } from './upstream.mjs';

const OBJECTS = manifest(
  gateway('istio-system', 'gate', [80, 'HTTP', ['*']]),
  service('team', 'calls', 'grpc', 9000),
  service('team', 'modern', 'any', { port: 80, appProtocol: 'kubernetes.io/h2c' }),
  service('team', 'sockets', 'http'),
  service('team', 'gone', 'grpc'),
  virtualService('team', 'all', {
    gateways: ['istio-system/gate'],
    http: [prefixTo('/door.Gone/', 'gone'), prefixTo('/door.', 'calls', 9000), prefixTo('/modern/', 'modern'), prefixTo('/sockets/', 'sockets')],
  }),
);

let door;
let calls;
let modern;
let plain;
let directory;

/** An application that speaks HTTP/2 without TLS and nothing else. */
async function startModern() {
  const server = http2.createServer();
  const sessions = new Set();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => {
    const chunks = [];
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('end', () => {
      const told = { headers: { ...headers }, body: Buffer.concat(chunks).length, sessions: sessions.size };
      stream.respond({ ':status': 200, 'content-type': 'application/json' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-checksum': String(told.body) }));
      stream.end(JSON.stringify(told));
    });
    stream.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,
    /** Asks all connections to end, as a server does that is being replaced. */
    goodbye: () => sessions.forEach((session) => session.close()),
    async stop() {
      for (const session of sessions) session.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

before(async () => {
  directory = scratch();
  writeFileSync(join(directory, 'all.yaml'), OBJECTS);
  [calls, modern, plain] = await Promise.all([startPython('grpc_server.py'), startModern(), startUpstream()]);
  door = await openDoor({
    manifests: directory,
    resolve: [
      `calls.team=127.0.0.1:${calls.port}`,
      `modern.team=127.0.0.1:${modern.port}`,
      `sockets.team=127.0.0.1:${plain.port}`,
      'gone.team=127.0.0.1:1',
    ],
  });
});
after(async () => {
  await door?.close();
  await Promise.all([calls, modern, plain].map((peer) => peer?.stop()));
  discard(directory, door?.state);
});

describe('gRPC with grpcio', () => {
  it('calls of every shape, deadlines, errors and metadata pass', async () => {
    const told = await askPython('grpc_client.py', `localhost:${door.https}`, door.caFile);
    assert.deepEqual(told.unary, { text: 'hello door', initial: 'yes', trailing: 'done' });
    assert.deepEqual(told.serverStream, ['0', '1', '2', '3', '4']);
    assert.deepEqual(told.clientStream, '10');
    // Each answer came before the next question was asked.
    assert.deepEqual(told.bidirectional, ['a!', 'b!', 'c!']);
    assert.equal(told.large, 3_000_000);
    assert.deepEqual(told.error, { code: 'FAILED_PRECONDITION', details: 'not today: 100 %' });
    assert.deepEqual(told.late, { code: 'DEADLINE_EXCEEDED' });
    assert.deepEqual(told.cancelled, { seen: true });
    assert.equal(told.unknown.code, 'UNIMPLEMENTED');
    assert.equal(told.parallel, 200);
  });

  it('what the gateway refuses itself has the form of gRPC', async () => {
    const told = await askPython('grpc_client.py', `localhost:${door.https}`, door.caFile, 'refused');
    assert.equal(told.gone.code, 'UNAVAILABLE');
    assert.match(told.gone.details, /takes no connections/);
    assert.equal(told.nowhere.code, 'UNIMPLEMENTED');
  });
});

describe('HTTP/2 on both sides', () => {
  /** One request of Node's own client. */
  async function visit(session, headers, body) {
    const stream = session.request(headers, { endStream: body === undefined });
    if (body !== undefined) stream.end(body);
    let trailers;
    stream.on('trailers', (found) => { trailers = found; });
    const [head] = await once(stream, 'response');
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    return { head, trailers, told: JSON.parse(Buffer.concat(chunks)) };
  }

  it("Node's client reaches an application that speaks HTTP/2 only, trailers included", async () => {
    const session = http2.connect(`https://localhost:${door.https}`, { ca: door.ca });
    const answers = await Promise.all(Array.from({ length: 100 }, (_, at) => visit(
      session,
      { ':method': 'POST', ':path': `/modern/${at}`, te: 'trailers' },
      Buffer.alloc(at * 1000),
    )));
    for (const [at, { head, trailers, told }] of answers.entries()) {
      assert.equal(head[':status'], 200);
      assert.equal(trailers['x-checksum'], String(at * 1000));
      assert.equal(told.headers[':path'], `/modern/${at}`);
      assert.equal(told.headers[':authority'], `localhost:${door.https}`);
      assert.equal(told.headers.te, 'trailers');
    }
    session.close();
  });

  it('an application that is replaced fails no request', async () => {
    const session = http2.connect(`https://localhost:${door.https}`, { ca: door.ca });
    for (let round = 0; round < 20; round += 1) {
      const { head } = await visit(session, { ':path': '/modern/' });
      assert.equal(head[':status'], 200);
      modern.goodbye();
    }
    session.close();
  });

  it('curl gets there over either version', async () => {
    for (const version of ['--http1.1', '--http2']) {
      const args = ['--silent', '--show-error', '--fail', version, '--cacert', door.caFile, '--data-binary', 'x'.repeat(100_000), `https://localhost:${door.https}/modern/curl`];
      const text = await new Promise((resolve, reject) => {
        execFile('curl', args, (error, stdout, stderr) => (error ? reject(new Error(stderr)) : resolve(stdout)));
      });
      assert.equal(JSON.parse(text).body, 100_000, version);
    }
  });
});

describe('WebSockets', () => {
  it("Python's websockets echoes through", async () => {
    const told = await askPython('websocket_client.py', `wss://localhost:${door.https}/sockets/echo-socket`, door.caFile);
    assert.deepEqual(told.echoes, ['echo one', 'echo two', `echo ${'x'.repeat(40_000)}`]);
  });

  it("Node's HTTP/2 client opens one by extended CONNECT", async () => {
    const session = http2.connect(`https://localhost:${door.https}`, { ca: door.ca });
    const [settings] = await once(session, 'remoteSettings');
    assert.equal(settings.enableConnectProtocol, true);
    const stream = session.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':path': '/sockets/echo-socket',
      'sec-websocket-version': '13',
    }, { endStream: false });
    const [head] = await once(stream, 'response');
    assert.equal(head[':status'], 200);
    // A masked text frame `hi`.
    stream.write(Buffer.from([0x81, 0x82, 1, 2, 3, 4, 0x68 ^ 1, 0x69 ^ 2]));
    const [frame] = await once(stream, 'data');
    assert.equal(frame.subarray(2).toString(), 'echo hi');
    stream.destroy();
    session.close();
  });

  it('Chromium opens one over the HTTP/2 connection that it has', async () => {
    const browser = await openBrowser([door.ca]);
    try {
      const window = await browser.window();
      const page = await window.page();
      await page.goto(`https://localhost:${door.https}/sockets/page`);
      const echo = await page.evaluate(() => new Promise((resolve, reject) => {
        const socket = new WebSocket(`wss://${location.host}/sockets/chromium-echo-socket`);
        socket.onopen = () => socket.send('browser');
        socket.onmessage = (message) => { resolve(message.data); socket.close(); };
        socket.onerror = () => reject(new Error('the socket failed'));
      }));
      assert.equal(echo, 'echo browser');
      const record = await until('the log line', () => door.records().find(({ path }) => path === '/sockets/chromium-echo-socket'));
      // Over HTTP/1.1 it would be 101.
      assert.equal(record.status, 200);
      assert.equal(record.method, 'GET');
    } finally {
      await browser.close();
    }
  });
});
