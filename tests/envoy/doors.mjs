// doorward and Envoy side by side: one doorward and two Envoy listeners (plain and TLS) for each path normalisation.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { discard, openDoor, plainGet, scratch, until } from '../door.mjs';
import { configMap, manifest, tlsSecret } from '../objects.mjs';
import { freePort } from '../ports.mjs';
import { selfSigned } from '../tree.mjs';
import { envoyConfig } from './translate.mjs';

const TARGET = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../target', import.meta.url));
const ENVOY = process.env.ENVOY_BINARY ?? join(TARGET, 'peers-venv', 'bin', 'envoy');
const MODES = ['NONE', 'DEFAULT', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'];

/**
 * Starts both on the same objects and the same upstreams (`{ name: port }` for the Services of namespace `apps`).
 * `doorward(mode, secure)` and `envoy(mode, secure)` are the ports to ask.
 */
export async function openBoth(objects, upstreams) {
  execFileSync(fileURLToPath(new URL('../install-peers.sh', import.meta.url)), { stdio: 'inherit' });
  const work = scratch();
  const certificate = makeCertificate(work);
  const doorwards = {};
  let envoy;
  const stop = async () => {
    await Promise.all([...Object.values(doorwards).map((door) => door.close()), envoy?.stop()]);
    discard(work, ...Object.values(doorwards).map((door) => door.state));
  };
  try {
    for (const mode of MODES) doorwards[mode] = await openDoorward(work, mode, objects, upstreams, certificate);
    envoy = await openEnvoy(work, objects, upstreams, certificate);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    doorward: (mode, secure) => (secure ? doorwards[mode].https : doorwards[mode].http),
    envoy: (mode, secure) => envoy.ports[`${mode}${secure ? '-tls' : ''}`],
    stop,
  };
}

/** The same pair for both: as text, and in two files for Envoy. */
function makeCertificate(work) {
  const [chain, key] = [join(work, 'tls.crt'), join(work, 'tls.key')];
  const pair = selfSigned('*.test');
  writeFileSync(chain, pair.cert);
  writeFileSync(key, pair.key);
  return { chain, key, pair };
}

function openDoorward(work, mode, objects, upstreams, certificate) {
  const manifests = join(work, mode);
  mkdirSync(manifests);
  const own = [
    configMap('istio-system', 'istio', { mesh: `pathNormalization:\n  normalization: ${mode}\n` }),
    tlsSecret('istio-system', 'front', certificate.pair),
  ];
  writeFileSync(join(manifests, 'all.yaml'), manifest(...own, ...objects));
  const resolve = Object.entries(upstreams).map(([name, port]) => `${name}.apps=127.0.0.1:${port}`);
  return openDoor({ manifests, resolve, args: ['--https-upgrade', 'off', '--workers', '1', '--log', 'error'] });
}

async function openEnvoy(work, objects, upstreams, certificate) {
  const doors = [];
  for (const mode of MODES) {
    doors.push({ name: mode, port: await freePort(), gatewayPort: 80, tls: false, normalization: mode });
    doors.push({ name: `${mode}-tls`, port: await freePort(), gatewayPort: 443, tls: true, normalization: mode });
  }
  const adminPort = await freePort();
  const services = Object.fromEntries(Object.entries(upstreams).map(([name, port]) => [`${name}.apps.svc.cluster.local`, port]));
  const file = join(work, 'envoy.json');
  writeFileSync(file, JSON.stringify(envoyConfig({ objects, doors, upstreams: services, certificate, adminPort })));
  const child = spawn(ENVOY, ['-c', file, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'error'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = [];
  child.stdout.on('data', (chunk) => output.push(chunk));
  child.stderr.on('data', (chunk) => output.push(chunk));
  const ended = once(child, 'close');
  await until('Envoy to serve', async () => {
    if (child.exitCode !== null) assert.fail(`Envoy ended with ${child.exitCode}:\n${Buffer.concat(output).toString().slice(-2000)}`);
    return plainGet(adminPort, '/ready').then((answer) => answer.status === 200, () => false);
  }, 30_000);
  return {
    ports: Object.fromEntries(doors.map((door) => [door.name, door.port])),
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
