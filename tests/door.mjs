// Starts the real binary for a test and stops it again.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? join(HERE, '..', 'target');

/** The binary under test. */
export const BINARY = resolve(process.env.DOORWARD_BINARY ?? join(TARGET, 'debug', 'doorward'));

/** Password of the user in the stock manifests. */
export const STOCK_PASSWORD = '12341234';

/** A manifest tree that comes with the project. */
export const fixture = (name) => join(HERE, '..', 'fixtures', name);

/** A new empty directory under the system's temporary one. */
export const scratch = () => mkdtempSync(join(tmpdir(), 'doorward-'));

/** A copy of a manifest tree that a test may change. */
export function copyOf(tree) {
  const directory = scratch();
  cpSync(tree, directory, { recursive: true });
  return directory;
}

/** Waits until `look` answers something true, asking again every 10 ms; fails after `limit` milliseconds. */
export async function until(what, look, limit = 10_000) {
  const end = performance.now() + limit;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > end) assert.fail(`waited ${limit} ms for ${what}`);
    await pause(10);
  }
}

/** Runs one subcommand to its end: `{ code, stdout, stderr }`. */
export function run(...args) {
  return new Promise((resolve) => {
    const environment = { ...process.env, NO_COLOR: '1' };
    execFile(BINARY, args, { env: environment, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, stdout, stderr });
    });
  });
}

/**
 * Starts `doorward up` on free loopback ports and waits until it serves.
 *
 * - `manifests`: file or directory; none starts the demo.
 * - `upstream`: a port on loopback where every Service is found; or `resolve`: a list of `HOST=ADDR`.
 * - `state`: the state directory; a new one if there is none.
 * - `https`: a port that must be this one.
 * - `uid`: the user it runs as, if not this one.
 */
export async function openDoor({ manifests, upstream, resolve: rules = [], state = scratch(), https = 0, uid, args = [] } = {}) {
  const aside = scratch();
  if (uid !== undefined) for (const directory of [state, aside]) chownSync(directory, uid, uid);
  const readyFile = join(aside, 'ready.json');
  const command = ['up', '--state', state, '--https', `127.0.0.1:${https}`, '--http', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--ready-file', readyFile];
  if (manifests) command.push('--manifests', manifests);
  if (upstream) command.push('--resolve', `*=127.0.0.1:${upstream}`);
  for (const rule of rules) command.push('--resolve', rule);
  const started = performance.now();
  const child = spawn(BINARY, [...command, ...args], { env: { ...process.env, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'], uid });
  const output = [];
  child.stdout.on('data', (chunk) => output.push(chunk));
  child.stderr.on('data', (chunk) => output.push(chunk));
  const ended = once(child, 'close');
  const text = () => Buffer.concat(output).toString();

  await until('the door to open', () => {
    if (child.exitCode !== null) assert.fail(`doorward ended with ${child.exitCode}:\n${text()}`);
    return existsSync(readyFile);
  }, 30_000).catch((error) => {
    child.kill('SIGKILL');
    throw error;
  });
  const ready = JSON.parse(readFileSync(readyFile, 'utf8'));
  discard(aside);
  const port = (address) => Number(address.slice(address.lastIndexOf(':') + 1));
  const httpsPort = port(ready.https);

  return {
    url: `https://127.0.0.1:${httpsPort}`,
    host: `127.0.0.1:${httpsPort}`,
    https: httpsPort,
    http: port(ready.http),
    adminPort: port(ready.admin),
    ca: readFileSync(ready.ca, 'utf8'),
    caFile: ready.ca,
    pid: child.pid,
    state,
    /** Milliseconds from the start of the process until it served. */
    opened: performance.now() - started,
    /** All that the process has written so far. */
    output: text,
    /** The lines it wrote that are JSON objects. */
    records() {
      return text().split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
    },
    /** GET on the administration address: `{ status, text }`. */
    admin: (path) => plainGet(port(ready.admin), path),
    /** Resident memory now and at its highest since `forgetPeak`, in bytes. */
    memory: () => residentMemory(child.pid),
    /** Makes the highest memory so far count no longer (proc(5), `clear_refs`). */
    forgetPeak: () => writeFileSync(`/proc/${child.pid}/clear_refs`, '5'),
    /** Asks it to stop and answers the exit code. */
    close() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      return this.end();
    },
    /** Only sends a signal. */
    signal: (name) => child.kill(name),
    /** Answers the exit code once the process ends. One that never does is killed, and has none. */
    async end() {
      const timer = setTimeout(() => child.kill('SIGKILL'), 40_000);
      await ended;
      clearTimeout(timer);
      return child.exitCode;
    },
    /** Ends it at once, as a power cut would. */
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** GET over plain HTTP on loopback: `{ status, headers, text }`; redirects are not followed. */
export async function plainGet(port, path, headers = {}) {
  const response = await new Promise((resolve, reject) => {
    http.get({ host: '127.0.0.1', port, path, headers, agent: false }, resolve).on('error', reject);
  });
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString() };
}

function residentMemory(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kilobytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)[1]);
  return { now: kilobytes('VmRSS') * 1024, highest: kilobytes('VmHWM') * 1024 };
}

/** Removes directories that a test made. */
export function discard(...directories) {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
}
