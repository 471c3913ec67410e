// Bytes on a TLS connection, for requests that no HTTP client would send.

import { once } from 'node:events';
import tls from 'node:tls';

/** A TLS connection to the door that checks its certificate, against `door.name` if it has one. */
export async function connectTls(door, { alpn = ['http/1.1'] } = {}) {
  const name = door.name ? { servername: door.name } : {};
  const socket = tls.connect({ host: '127.0.0.1', port: door.https, ca: door.ca, ALPNProtocols: alpn, ...name });
  await once(socket, 'secureConnect');
  return socket;
}

/**
 * Sends `bytes` as they are and reads until the other side closes or has been quiet for `quiet` milliseconds, which is
 * more than a loaded machine lets an answer wait.
 * Answers `{ statuses, text, closed }`: the status of each response, all text, and whether the connection ended.
 */
export async function exchange(door, bytes, { quiet = 10_000 } = {}) {
  const socket = await connectTls(door);
  const chunks = [];
  let closed = false;
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, quiet);
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      timer.refresh();
    });
    for (const end of ['end', 'close', 'error']) {
      socket.on(end, () => {
        closed = true;
        clearTimeout(timer);
        resolve();
      });
    }
    socket.write(bytes);
  });
  socket.destroy();
  const text = Buffer.concat(chunks).toString('latin1');
  const statuses = [...text.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map((match) => Number(match[1]));
  return { statuses, text, closed };
}
