// A PostgreSQL of a test's own.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, readFileSync, readdirSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { discard, scratch, until } from './door.mjs';
import { freePort } from './ports.mjs';

/** A PostgreSQL that can be killed and started again. */
export async function startPostgres() {
  const [directory, port] = [scratch(), await freePort()];
  const user = postgresUser();
  if (user.uid !== undefined) chownSync(directory, user.uid, user.gid);
  const data = join(directory, 'data');
  const options = { cwd: directory, ...user, stdio: 'ignore' };
  execFileSync(program('initdb'), ['--pgdata', data, '--auth', 'trust', '--username', 'doorward', '--no-sync'], options);
  const args = ['-D', data, '-p', port, '-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${directory}`];
  let child;
  const store = {
    url: `postgres://doorward@127.0.0.1:${port}/postgres`,
    async start() {
      // It refuses to start while a process of the one that was killed still ends.
      for (let tries = 20; ; tries -= 1) {
        // In a group of its own: what it started ends with it, as in a power cut.
        child = spawn(program('postgres'), args, { ...options, detached: true });
        const ended = once(child, 'exit').then(() => false);
        if (await Promise.race([until('postgres', () => connects(port), 30_000).then(() => true, () => false), ended])) return;
        assert.ok(tries > 0, 'postgres ends at once');
        await pause(250);
      }
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      process.kill(-child.pid, 'SIGKILL');
      await ended;
    },
    async stop() {
      await store.kill();
      discard(directory);
    },
  };
  await store.start();
  return store;
}

const connects = (port) => new Promise((resolve) => {
  const socket = net.connect(port, '127.0.0.1', () => { socket.end(); resolve(true); });
  socket.on('error', () => resolve(false));
});

function program(name) {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).map((version) => join(debian, version, 'bin')) : [];
  const found = [...versions, '/usr/local/bin', '/usr/bin'].map((at) => join(at, name)).find((path) => existsSync(path));
  return found ?? assert.fail(`${name} is not installed: run tests/install-peers.sh`);
}

/** The user `postgres` when this is root, whom PostgreSQL refuses. */
function postgresUser() {
  if (process.getuid() !== 0) return {};
  const line = readFileSync('/etc/passwd', 'utf8').split('\n').find((one) => one.startsWith('postgres:'));
  const [, , uid, gid] = (line ?? assert.fail('there is no user `postgres`: run tests/install-peers.sh')).split(':').map(Number);
  return { uid, gid };
}
