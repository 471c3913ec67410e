// Half a minute of load while manifests and the certificate change under it: no request may fail (bench/soak, whose long
// form takes ten minutes).

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BINARY, discard, scratch } from './door.mjs';

const SOAK = fileURLToPath(new URL('../bench/soak', import.meta.url));

let work;
before(() => { work = scratch(); });
after(() => discard(work));

it('no request fails while manifests change every second and the certificate every ten', { timeout: 120_000 }, async () => {
  const file = join(work, 'soak.json');
  const { code, stderr } = await new Promise((resolve) => {
    execFile(SOAK, ['--seconds', '30', '--connections', '16', '--doorward', BINARY, '--json', file], { timeout: 100_000 }, (error, stdout, errors) => resolve({ code: error ? error.code : 0, stderr: errors }));
  });
  assert.equal(code, 0, stderr);
  const result = JSON.parse(readFileSync(file, 'utf8'));
  console.log(`${result.requests} requests on ${result.connections} connections, ${result.failed} failed; ${result.manifest_changes} changes of the manifests, ${result.certificates} certificates; memory ${result.memory_first_mb} → ${result.memory_last_mb} MB`);
  assert.equal(result.failed, 0);
  assert.ok(result.manifest_changes >= 20 && result.certificates >= 3, JSON.stringify(result));
});
