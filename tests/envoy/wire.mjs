// An upstream that answers with the bytes it got, and a client that sends bytes as they are: no HTTP library in between
// could tidy up what the two proxies did.

import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';

const HEAD_END = '\r\n\r\n';

/** Starts an upstream for each name; answers `{ ports: { name: port }, stop }`. */
export async function startEchoes(names) {
  const ports = {};
  const servers = [];
  const sockets = new Set();
  for (const name of names) {
    const server = net.createServer((socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => socket.destroy());
      echo(socket, name);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ports[name] = server.address().port;
    servers.push(server);
  }
  return {
    ports,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server) => once(server.close(), 'close')));
    },
  };
}

function echo(socket, service) {
  let bytes = '';
  socket.on('data', (chunk) => {
    bytes += chunk.toString('latin1');
    for (;;) {
      const request = cutMessage(bytes);
      if (!request) return;
      bytes = request.rest;
      const { line, headers, body } = request;
      const [method, ...rest] = line.split(' ');
      const seen = { service, method, target: rest.slice(0, -1).join(' '), headers, body };
      const answer = method === 'HEAD' ? '' : JSON.stringify(seen);
      const head = ['HTTP/1.1 200 OK', 'x-echo: 1', `x-echo-head: ${method === 'HEAD' ? encodeURIComponent(JSON.stringify(seen)) : ''}`,
        'x-first: one', 'x-first: two', 'x-second: three', `content-length: ${Buffer.byteLength(answer)}`];
      socket.write(head.join('\r\n') + HEAD_END + answer);
    }
  });
}

/** One message off the front of `bytes`, or nothing while it is not whole. */
function cutMessage(bytes, { bodiless = false, closed = false } = {}) {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return null;
  const [line, ...lines] = bytes.slice(0, end).split('\r\n');
  const headers = lines.map((text) => [text.slice(0, text.indexOf(':')).toLowerCase(), text.slice(text.indexOf(':') + 1).trim()]);
  const one = (name) => headers.find(([key]) => key === name)?.[1];
  const rest = bytes.slice(end + HEAD_END.length);
  if (bodiless) return { line, headers, body: '', rest };
  if (/chunked/i.test(one('transfer-encoding') ?? '')) return cutChunks(line, headers, rest);
  const length = one('content-length');
  if (length === undefined && line.startsWith('HTTP/')) return closed ? { line, headers, body: rest, rest: '' } : null;
  const count = Number(length ?? 0);
  return rest.length < count ? null : { line, headers, body: rest.slice(0, count), rest: rest.slice(count) };
}

function cutChunks(line, headers, rest) {
  let body = '';
  for (;;) {
    const end = rest.indexOf('\r\n');
    if (end < 0) return null;
    const size = Number.parseInt(rest.slice(0, end), 16);
    if (rest.length < end + 2 + size + 2) return null;
    body += rest.slice(end + 2, end + 2 + size);
    rest = rest.slice(end + 4 + size);
    if (size === 0) return { line, headers, body, rest };
  }
}

/** Sends one request to a port and reads its answer whole: `{ status, headers, body, echoed }`. */
export function ask(port, request) {
  const { method, target, host, headers = [], body = '', secure = false } = request;
  const lines = [`${method} ${target} HTTP/1.1`, `host: ${host}`, 'connection: close', ...headers.map(([name, value]) => `${name}: ${value}`)];
  if (body) lines.push(`content-length: ${body.length}`);
  const bytes = Buffer.from(lines.join('\r\n') + HEAD_END + body, 'latin1');
  const servername = host.replace(/:\d*$/, '').replace(/\.$/, '');
  const socket = secure
    ? tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, servername: net.isIP(servername) ? undefined : servername, ALPNProtocols: ['http/1.1'] })
    : net.connect({ host: '127.0.0.1', port });
  return new Promise((resolve, reject) => {
    let text = '';
    const fail = (what) => {
      socket.destroy();
      reject(new Error(`${what} after ${JSON.stringify(text.slice(0, 200))} for ${method} ${target} on ${host}`));
    };
    const done = (closed) => {
      const message = cutMessage(text, { bodiless: method === 'HEAD', closed });
      if (!message) return closed && fail('the connection ended');
      socket.destroy();
      return resolve(read(message));
    };
    socket.setTimeout(20_000, () => fail('no answer'));
    socket.on('error', (error) => fail(error.message));
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      done(false);
    });
    socket.on('end', () => done(true));
    socket.write(bytes);
  });
}

function read({ line, headers, body }) {
  const echoHead = headers.find(([name]) => name === 'x-echo-head')?.[1];
  const isEcho = headers.some(([name]) => name === 'x-echo');
  const text = echoHead ? decodeURIComponent(echoHead) : body;
  return { status: Number(line.split(' ')[1]), headers, body, echoed: isEcho ? JSON.parse(Buffer.from(text, 'latin1').toString()) : null };
}
