// Profiles on the stock manifests: who gets into whose namespace, and KFAM's interface, which changes that.

import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { discard, openDoor, run, scratch, until } from './door.mjs';
import { manifest, prefixTo, service, virtualService } from './objects.mjs';
import { StockTree } from './tree.mjs';
import { startUpstream } from './upstream.mjs';
import { Visitor } from './visitor.mjs';

/** People with the stock password, and their groups. */
const PEOPLE = { ann: [], bob: [], cat: ['guests'], eve: [], root: [] };
const mail = (name) => `${name}@example.com`;

const profile = (name, kind, owner) => ({ apiVersion: 'kubeflow.org/v1', kind: 'Profile', metadata: { name }, spec: { owner: { kind, name: owner } } });
const notebook = (namespace) => [
  service(namespace, 'trial', 'http-trial', { port: 80, targetPort: 8888 }),
  virtualService(namespace, `notebook-${namespace}-trial`, { gateways: ['kubeflow/kubeflow-gateway'], http: [prefixTo(`/notebook/${namespace}/trial/`, `trial.${namespace}.svc.cluster.local`)] }),
];

function stockWithProfiles() {
  const tree = new StockTree();
  const file = join(tree.directory, '15-config.yaml');
  const listed = Object.entries(PEOPLE).map(([name, groups]) => `    - email: ${mail(name)}\n      hashFromEnv: DEX_USER_PASSWORD\n      username: ${name}\n      userID: "${name}"\n      groups: ${JSON.stringify(groups)}\n`);
  const config = readFileSync(file, 'utf8').replace('    staticPasswords:\n', `    staticPasswords:\n${listed.join('')}`).replace("  ADMIN: ''\n", `  ADMIN: ${mail('root')}\n`);
  writeFileSync(file, config);
  tree.put('80-profiles.yaml', manifest(profile('ann', 'User', mail('ann')), ...notebook('ann'), profile('guests', 'Group', 'guests'), ...notebook('guests')));
  return tree;
}

const binding = (user, { namespace = 'ann', role = 'edit', kind = 'User' } = {}) => JSON.stringify({
  user: { kind, name: user }, referredNamespace: namespace, RoleRef: { kind: 'ClusterRole', name: role },
});
const NOTEBOOK = '/notebook/ann/trial/lab';

let tree;
let upstream;
let door;
const people = {};

const kfam = (who, method, path, body) => people[who].visit(`/kfam/v1/${path}`, { method, body, headers: { 'content-type': 'application/json' } });
const status = async (who, path) => (await people[who].visit(path)).status;

async function signAllIn(at) {
  const visitors = {};
  for (const name of Object.keys(PEOPLE)) {
    visitors[name] = new Visitor(at);
    await visitors[name].signIn({ user: mail(name) });
  }
  return visitors;
}

before(async () => {
  tree = stockWithProfiles();
  upstream = await startUpstream();
  door = await openDoor({ manifests: tree.directory, upstream: upstream.port });
  Object.assign(people, await signAllIn(door));
});
after(async () => {
  for (const one of Object.values(people)) one.close();
  await door?.close();
  await upstream?.stop();
  tree?.discard();
  discard(door?.state);
});

describe('a Profile and nothing else', () => {
  it('lets its owner in, to the applications and to the notebook', async () => {
    for (const path of ['/pipeline/x', '/jupyter/x', NOTEBOOK]) assert.equal(await status('ann', path), 200, path);
  });

  it('keeps others out, and the log names the policy', async () => {
    assert.equal(await status('eve', '/jupyter/x'), 200);
    assert.equal(await status('eve', `${NOTEBOOK}?by=eve`), 403);
    assert.equal(upstream.seen('by=eve').length, 0);
    const line = await until('the line', () => door.records().find((record) => JSON.stringify(record).includes('by=eve')) ?? door.records().find((record) => record.status === 403 && record.user === mail('eve')));
    assert.match(JSON.stringify(line), /ns-owner-access-istio/);
  });

  it('lets the members of an owning group in', async () => {
    assert.equal(await status('cat', '/notebook/guests/trial/lab'), 200);
    assert.equal(await status('ann', '/notebook/guests/trial/lab'), 403);
  });
});

describe('KFAM', () => {
  it('lets a contributor in within a second, and out again', async () => {
    assert.equal(await status('bob', NOTEBOOK), 403);
    const begun = performance.now();
    const added = await kfam('ann', 'POST', 'bindings', binding(mail('bob')));
    assert.equal(added.status, 200, added.text);
    assert.equal(await status('bob', NOTEBOOK), 200);
    const took = performance.now() - begun;
    assert.ok(took < 1000, `${took} ms`);

    const listed = (await kfam('ann', 'GET', 'bindings?namespace=ann')).json().bindings;
    assert.deepEqual(listed.map((one) => [one.user.name, one.RoleRef.name]), [[mail('ann'), 'admin'], [mail('bob'), 'edit']]);
    assert.deepEqual((await kfam('bob', 'GET', 'bindings')).json().bindings.length, 1);
    assert.deepEqual((await kfam('eve', 'GET', 'bindings?namespace=ann')).json().bindings, []);

    const { profiles } = JSON.parse((await door.admin('/snapshot')).text);
    const told = profiles.find((one) => one.name === 'ann');
    assert.deepEqual([told.owner, told.contributors], [`User ${mail('ann')}`, [{ subject: `User ${mail('bob')}`, role: 'edit' }]]);

    const removed = await kfam('ann', 'DELETE', 'bindings', binding(mail('bob')));
    assert.equal(removed.status, 200, removed.text);
    assert.equal(await status('bob', NOTEBOOK), 403);
    assert.deepEqual(readdirSync(join(tree.directory, 'kfam', 'ann')), []);
  });

  it('lets a group in', async () => {
    assert.equal(await status('cat', NOTEBOOK), 403);
    assert.equal((await kfam('ann', 'POST', 'bindings', binding('guests', { kind: 'Group', role: 'view' }))).status, 200);
    assert.equal(await status('cat', NOTEBOOK), 200);
    assert.equal((await kfam('ann', 'DELETE', 'bindings', binding('guests', { kind: 'Group', role: 'view' }))).status, 200);
    assert.equal(await status('cat', NOTEBOOK), 403);
  });

  it('refuses whoever is not the owner', async () => {
    for (const who of ['eve', 'bob', 'cat']) {
      assert.equal((await kfam(who, 'POST', 'bindings', binding(mail(who)))).status, 403, who);
      assert.equal((await kfam(who, 'DELETE', 'profiles/ann')).status, 403, who);
    }
    assert.equal(await status('eve', NOTEBOOK), 403);
    const forged = await people.eve.visit('/kfam/v1/bindings', { method: 'POST', body: binding(mail('eve')), headers: { 'kubeflow-userid': mail('ann'), 'kubeflow_userid': mail('ann') } });
    assert.equal(forged.status, 403);
    const nobody = new Visitor(door);
    assert.equal((await nobody.visit('/kfam/v1/bindings', { method: 'POST', body: binding(mail('eve')) })).status, 403);
    nobody.close();
  });

  it('makes no profile for people where the dashboard lets nobody register', async () => {
    const wanted = JSON.stringify(profile('eve', 'User', mail('eve')));
    assert.equal((await kfam('eve', 'POST', 'profiles', wanted)).status, 403);
    assert.equal((await kfam('root', 'POST', 'profiles', wanted)).status, 200);
    assert.equal((await kfam('root', 'POST', 'profiles', wanted)).status, 409);
    assert.equal((await kfam('root', 'POST', 'profiles', JSON.stringify(profile('kubeflow', 'User', mail('eve'))))).status, 409);
    assert.equal((await kfam('eve', 'DELETE', 'profiles/eve')).status, 200);
    // What is left of a namespace would be open to everybody.
    assert.equal((await kfam('ann', 'DELETE', 'profiles/ann')).status, 409);
    assert.equal((await kfam('root', 'GET', 'role/clusteradmin')).text, 'true');
  });

  it('loses no change of several at once', async () => {
    const names = Array.from({ length: 12 }, (_, at) => mail(`c${at}`));
    const all = await Promise.all(names.map((name) => kfam('ann', 'POST', 'bindings', binding(name))));
    assert.deepEqual(all.map((answer) => answer.status), names.map(() => 200));
    const listed = (await kfam('ann', 'GET', 'bindings?namespace=ann&role=edit')).json().bindings;
    assert.deepEqual(listed.map((one) => one.user.name).sort(), [...names].sort());
    const twice = await Promise.all([1, 2, 3].map(() => kfam('ann', 'POST', 'bindings', binding(mail('same')))));
    assert.deepEqual(twice.map((answer) => answer.status).sort(), [200, 409, 409]);
    const gone = await Promise.all([...names, mail('same')].map((name) => kfam('ann', 'DELETE', 'bindings', binding(name))));
    assert.deepEqual(gone.map((answer) => answer.status), gone.map(() => 200));
  });

  it('takes a contributor out of a file that somebody else wrote', async () => {
    const meta = { name: 'by-hand', namespace: 'ann', annotations: { user: mail('bob'), role: 'view' } };
    const [role, policy] = [
      { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata: meta, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'kubeflow-view' }, subjects: [{ kind: 'User', name: mail('bob') }] },
      { apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata: meta, spec: { rules: [{ when: [{ key: 'request.headers[kubeflow-userid]', values: [mail('bob')] }] }] } },
    ];
    const rest = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'stays', namespace: 'ann' }, data: {} };
    tree.put('85-by-hand.yaml', manifest(role, rest, policy));
    await until('bob to get in', async () => await status('bob', NOTEBOOK) === 200);
    assert.equal((await kfam('ann', 'DELETE', 'bindings', binding(mail('bob'), { role: 'view' }))).status, 200);
    assert.equal(await status('bob', NOTEBOOK), 403);
    assert.equal(readFileSync(join(tree.directory, '85-by-hand.yaml'), 'utf8').replaceAll('---\n', ''), manifest(rest));
  });
});

describe('settings and places', () => {
  it('strict viewers only look', async () => {
    const strict = stockWithProfiles();
    try {
      const meta = { name: 'bob-view', namespace: 'ann', annotations: { user: mail('bob'), role: 'view' } };
      strict.put('85-viewer.yaml', manifest({ apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata: meta, spec: { rules: [{ when: [{ key: 'request.headers[kubeflow-userid]', values: [mail('bob')] }] }] } }));
      const ask = async (...args) => (await run('explain', '--manifests', strict.directory, '--host', 'x', '--path', NOTEBOOK, '--user', mail('bob'), ...args)).code;
      assert.equal(await ask('--method', 'POST'), 0);
      writeFileSync(join(strict.directory, 'doorward.yaml'), 'policy: {strictViewers: true}\n');
      for (const method of ['GET', 'HEAD', 'OPTIONS']) assert.equal(await ask('--method', method), 0, method);
      for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) assert.equal(await ask('--method', method), 3, method);
      assert.equal(await ask('--header', 'upgrade=websocket'), 3);
    } finally {
      strict.discard();
    }
  });

  it('a directory that cannot be written to is told by 503, and nothing of it is changed', async () => {
    const fixed = stockWithProfiles();
    const state = scratch();
    let closed;
    let visitors = {};
    try {
      const names = () => readdirSync(fixed.directory).sort();
      const before = names();
      // Rights do not stop the superuser: then another user has to run it.
      const uid = process.getuid() === 0 ? 65534 : undefined;
      chmodSync(fixed.directory, 0o555);
      closed = await openDoor({ manifests: fixed.directory, upstream: upstream.port, state, uid });
      visitors = await signAllIn(closed);
      const answer = await visitors.ann.visit('/kfam/v1/bindings', { method: 'POST', body: binding(mail('bob')) });
      assert.equal(answer.status, 503, answer.text);
      assert.match(answer.text, /cannot be written/);
      assert.deepEqual(names(), before);
      assert.equal((await visitors.bob.visit(NOTEBOOK)).status, 403);
      assert.equal((await visitors.ann.visit(NOTEBOOK)).status, 200);
      assert.ok(!existsSync(join(fixed.directory, 'kfam')));
    } finally {
      for (const one of Object.values(visitors)) one.close();
      await closed?.close();
      chmodSync(fixed.directory, 0o755);
      fixed.discard();
      discard(state);
    }
  });
});
