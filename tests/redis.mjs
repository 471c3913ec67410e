// A Redis of a test's own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { discard, scratch, until } from './door.mjs';
import { freePort } from './ports.mjs';

/** A Redis that keeps what it acknowledged, and can be killed and started again. */
export async function startRedis(...more) {
  const directory = scratch();
  const port = await freePort();
  let child;
  const answers = () => new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => { socket.end(); resolve(true); });
    socket.on('error', () => resolve(false));
  });
  const redis = {
    url: `redis://127.0.0.1:${port}`,
    async start() {
      child = spawn('redis-server', ['--port', port, '--bind', '127.0.0.1', '--dir', directory, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always', ...more], { stdio: 'ignore' });
      await until('redis', answers);
    },
    async kill() {
      const ended = once(child, 'close');
      child.kill('SIGKILL');
      await ended;
    },
    async stop() {
      await redis.kill();
      discard(directory);
    },
  };
  await redis.start();
  return redis;
}
