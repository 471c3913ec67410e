// A port that nobody listens on, for settings that must name it before anything is bound.

import { once } from 'node:events';
import { createServer } from 'node:net';

/** A free port on loopback. */
export async function freePort() {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
