// Peers in Python that are not ours: see install-peers.sh.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PEERS = fileURLToPath(new URL('./peers/', import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../target', import.meta.url));
const PYTHON = process.env.PYTHON ?? join(TARGET, 'peers-venv', 'bin', 'python');

/** Starts a Python program that prints the port it listens on. */
export async function startPython(name) {
  const child = spawn(PYTHON, [join(PEERS, name)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'close').then(([code]) => { throw new Error(`${name} ended with ${code} before it told its port`); }),
  ]);
  return {
    port: Number(line.toString()),
    async stop() {
      child.kill('SIGKILL');
      await once(child, 'close');
    },
  };
}

/** Runs a Python client to its end and answers the JSON that it prints. */
export const askPython = (name, ...args) => new Promise((resolve, reject) => {
  execFile(PYTHON, [join(PEERS, name), ...args], { timeout: 60_000 }, (error, stdout, stderr) => {
    if (error) reject(new Error(`${error.message}\n${stderr}`));
    else resolve(JSON.parse(stdout));
  });
});
