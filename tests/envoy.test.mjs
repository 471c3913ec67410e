// The same raw requests to doorward and to a real Envoy that is configured for the same Istio manifests, by a translation
// that shares nothing with doorward's own (tests/envoy/translate.mjs). Status, redirect, and what the upstream saw have to
// be the same; the differences that are meant are listed with their reasons in tests/envoy/differences.mjs.
//
// ENVOY_SEED and ENVOY_GROUPS choose other cases; a failure names both. ENVOY_REPORT names a file for all that differ.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { DIFFERENCES, OWN_REQUEST_HEADERS } from './envoy/differences.mjs';
import { openBoth } from './envoy/doors.mjs';
import { generate, SERVICES } from './envoy/generate.mjs';
import { ask, startEchoes } from './envoy/wire.mjs';

const SEED = Number(process.env.ENVOY_SEED ?? 1);
const GROUPS = Number(process.env.ENVOY_GROUPS ?? 140);
const AT_ONCE = 16;

let echoes;
let doors;
let made;

before(async () => {
  made = generate(SEED, GROUPS);
  echoes = await startEchoes(SERVICES);
  doors = await openBoth(made.objects, echoes.ports);
});
after(async () => {
  await doors?.stop();
  await echoes?.stop();
});

describe('beside a real Envoy', () => {
  it('every request is answered alike', { timeout: 120_000 }, async () => {
    const queue = made.requests.entries();
    const tally = { alike: 0, intended: new Map(DIFFERENCES.map(({ name }) => [name, 0])), groups: new Map() };
    const wrong = [];
    const work = async () => {
      for (const [, request] of queue) {
        const [envoy, doorward] = await Promise.all(['envoy', 'doorward'].map((who) => ask(doors[who](request.mode, request.secure), request)));
        judge({ request, envoy, doorward }, tally, wrong);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    report(tally, wrong);
    if (process.env.ENVOY_REPORT) writeFileSync(process.env.ENVOY_REPORT, JSON.stringify(wrong, null, 1));
    assert.deepEqual(wrong.slice(0, 10), [], `${wrong.length} of ${made.requests.length} requests (ENVOY_SEED=${SEED} ENVOY_GROUPS=${GROUPS})`);
    if (!process.env.ENVOY_SEED) for (const [name, count] of tally.intended) assert.ok(count > 0, `no case meets the difference "${name}"`);
  });
});

function judge(one, tally, wrong) {
  const kind = one.request.group.replace(/ \d+$/, '');
  const group = tally.groups.get(kind) ?? { asked: 0, alike: 0 };
  tally.groups.set(kind, group);
  group.asked += 1;
  const [envoy, doorward] = [summary(one.envoy), summary(one.doorward)];
  if (JSON.stringify(envoy) === JSON.stringify(doorward)) {
    tally.alike += 1;
    group.alike += 1;
    return;
  }
  const intended = DIFFERENCES.find(({ holds }) => holds({ request: one.request, envoy, doorward }));
  if (intended) tally.intended.set(intended.name, tally.intended.get(intended.name) + 1);
  else wrong.push({ request: one.request, ...differing(envoy, doorward) });
}

/** What has to be the same. */
function summary({ status, headers, body, echoed }) {
  const location = headers.find(([name]) => name === 'location')?.[1];
  if (!echoed) return { status, ...location !== undefined && { location }, ...status < 400 && { body } };
  const { service, method, target, body: sent } = echoed;
  return {
    status,
    seen: { service, method, target, sent, headers: sorted(echoed.headers.filter(([name]) => !OWN_REQUEST_HEADERS.has(name))) },
    answered: sorted(headers.filter(([name]) => /^x-(first|second|third)$/.test(name))),
  };
}

const sorted = (headers) => headers.map(([name, value]) => `${name}: ${value}`).map((line, at) => [line.slice(0, line.indexOf(':')), at, line])
  .sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x - y)).map(([, , line]) => line);

/** Only the parts that differ. */
function differing(envoy, doorward) {
  if (!envoy.seen || !doorward.seen) return { envoy, doorward };
  const parts = (summary) => ({ status: summary.status, ...summary.seen, answered: summary.answered });
  const keys = Object.keys(parts(envoy)).filter((key) => JSON.stringify(parts(envoy)[key]) !== JSON.stringify(parts(doorward)[key]));
  const pick = (summary) => Object.fromEntries(keys.map((key) => [key, parts(summary)[key]]));
  return { envoy: pick(envoy), doorward: pick(doorward) };
}

function report({ alike, intended, groups }, wrong) {
  const total = made.requests.length;
  console.log(`${total} requests to ${made.objects.filter(({ kind }) => kind === 'VirtualService').length} VirtualServices: ${alike} answered alike, ${total - alike - wrong.length} otherwise on purpose, ${wrong.length} otherwise`);
  for (const [kind, { asked, alike: same }] of groups) console.log(`  ${kind}: ${same} of ${asked} alike`);
  for (const [name, count] of intended) console.log(`  on purpose: ${name}: ${count}`);
}
