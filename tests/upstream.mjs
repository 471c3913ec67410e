// An application for doorward to stand in front of: it answers with what it was told, as JSON, and offers the shapes
// that gateways get wrong (streams, big bodies, slow answers, WebSockets). Paths are matched by their end, because a
// route may have put a prefix before them or taken one away.
//
// By hand: node tests/upstream.mjs 9000

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { acceptKey, Frames, textFrame } from './websocket.mjs';

/** Starts the application; `port` 0 picks a free one. */
export async function startUpstream(port = 0) {
  const requests = [];
  const arrivals = new Set();
  const sockets = new Set();
  const listeners = new Set();
  const held = new Set();
  const server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('request', (request, response) => {
    const seen = { method: request.method, url: request.url, headers: request.headers, rawHeaders: request.rawHeaders };
    requests.push(seen);
    for (const arrival of arrivals) arrival(seen);
    answer({ request, response, seen, listeners, held }).catch(() => response.destroy());
  });
  server.on('upgrade', (request, socket, head) => {
    requests.push({ method: request.method, url: request.url, headers: request.headers, rawHeaders: request.rawHeaders });
    echoFrames(request, socket, head);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,
    /** Every request that arrived, oldest first. */
    requests,
    /** The requests whose URL contains `text`. */
    seen: (text) => requests.filter((request) => request.url.includes(text)),
    /** Waits for a request whose URL contains `text`; one that is there already counts. */
    arrival(text) {
      const there = requests.find((request) => request.url.includes(text));
      if (there) return Promise.resolve(there);
      return new Promise((resolve) => {
        const look = (request) => {
          if (!request.url.includes(text)) return;
          arrivals.delete(look);
          resolve(request);
        };
        arrivals.add(look);
      });
    },
    /** Lets every request to `/held` be answered that has arrived. */
    release() {
      for (const letGo of held) letGo();
      held.clear();
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

async function answer({ request, response, seen, listeners, held }) {
  const url = new URL(request.url, 'http://upstream');
  const number = (name, fallback) => Number(url.searchParams.get(name) ?? fallback);
  response.setHeader('x-upstream', 'echo');
  if (url.pathname.endsWith('/big')) return sendZeroes(response, number('bytes', 1 << 20), seen);
  if (url.pathname.endsWith('/stream')) return sendTicks(response, number('count', 5), number('every', 50));
  if (url.pathname.endsWith('/news')) return void listenTo(listeners, response);
  if (url.pathname.endsWith('/tell')) tellAll(listeners, url.searchParams.get('what'));
  if (url.pathname.endsWith('/hang-up')) return void request.socket.destroy();
  if (url.pathname.endsWith('/held')) await new Promise((resolve) => { held.add(resolve); });

  const digest = createHash('sha256');
  let bytes = 0;
  const kept = [];
  for await (const chunk of request) {
    digest.update(chunk);
    bytes += chunk.length;
    if (bytes <= 65536) kept.push(chunk);
  }
  response.statusCode = number('status', 200);
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({
    method: request.method,
    url: request.url,
    headers: request.headers,
    rawHeaders: request.rawHeaders,
    body: bytes <= 65536 ? Buffer.concat(kept).toString() : null,
    bytes,
    sha256: digest.digest('hex'),
  }));
}

/** Says in `seen.sent` how many bytes it got rid of so far. */
async function sendZeroes(response, bytes, seen) {
  response.setHeader('content-length', bytes);
  response.setHeader('content-type', 'application/octet-stream');
  const block = Buffer.alloc(65536);
  for (let left = bytes; left > 0 && !response.destroyed; left -= block.length) {
    seen.sent = bytes - left;
    if (!response.write(left < block.length ? block.subarray(0, left) : block)) await once(response, 'drain');
  }
  response.end();
}

async function sendTicks(response, count, every) {
  response.setHeader('content-type', 'text/event-stream');
  for (let tick = 0; tick < count; tick += 1) {
    response.write(`data: ${tick}\n\n`);
    await pause(every);
  }
  response.end();
}

/** An event stream that says nothing until it is told what: see `tellAll`. */
function listenTo(listeners, response) {
  response.setHeader('content-type', 'text/event-stream');
  response.write(': open\n\n');
  listeners.add(response);
  response.on('close', () => listeners.delete(response));
}

function tellAll(listeners, what) {
  for (const listener of listeners) listener.write(`data: ${what}\n\n`);
}

/** Somebody reads the events at `/news` below `path`: each has to arrive before the next one is told. */
export async function readEventByEvent(visitor, path) {
  const stream = await visitor.begin(`${path}/news`, { headers: { accept: 'text/event-stream' } });
  assert.equal(stream.statusCode, 200);
  assert.match(stream.headers['content-type'], /^text\/event-stream/);
  const events = stream.setEncoding('utf8')[Symbol.asyncIterator]();
  assert.equal((await events.next()).value, ': open\n\n');
  // A gateway that collected them would wait for ever.
  for (const what of ['a', 'b', 'c']) {
    assert.equal((await visitor.visit(`${path}/tell?what=${what}`)).status, 200);
    assert.equal((await events.next()).value, `data: ${what}\n\n`);
  }
  stream.destroy();
}

function echoFrames(request, socket, head) {
  const identity = request.headers['kubeflow-userid'] ?? '';
  const [protocol] = (request.headers['sec-websocket-protocol'] ?? '').split(/, */);
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n' +
    `sec-websocket-accept: ${acceptKey(request.headers['sec-websocket-key'])}\r\nx-seen-user: ${identity}\r\n` +
    `${protocol ? `sec-websocket-protocol: ${protocol}\r\n` : ''}\r\n`,
  );
  const frames = new Frames((text) => socket.write(textFrame(`echo ${text}`)), () => socket.end());
  socket.on('data', (chunk) => frames.take(chunk));
  socket.on('error', () => socket.destroy());
  if (head.length > 0) frames.take(head);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const upstream = await startUpstream(Number(process.argv[2] ?? 9000));
  console.log(`answering on http://127.0.0.1:${upstream.port}/`);
}
