// What changes while the door is open: manifests, the process itself, and applications that come and go.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { copyOf, discard, fixture, openDoor, run, scratch, until } from './door.mjs';
import { manifest, prefixTo, virtualService } from './objects.mjs';
import { startUpstream } from './upstream.mjs';
import { Visitor } from './visitor.mjs';

let upstream;
before(async () => { upstream = await startUpstream(); });
after(() => upstream?.stop());

/** A route of its own for `/extra/`, to the application that also serves `/volumes/`. */
const extra = ({ uri = '/rewritten/', ...spec } = {}) => manifest(virtualService('kubeflow', 'extra', {
  gateways: ['kubeflow-gateway'],
  http: [prefixTo('/extra/', 'volumes-web-app-service.kubeflow.svc.cluster.local', 80, { rewrite: { uri } })],
  ...spec,
}));

describe('a change of the manifests', () => {
  let tree;
  let door;
  let member;

  before(async () => {
    tree = copyOf(fixture('kubeflow-26.03'));
    door = await openDoor({ manifests: tree, upstream: upstream.port });
    member = new Visitor(door);
    await member.signIn();
  });
  after(async () => {
    member?.close();
    await door?.close();
    discard(tree, door?.state);
  });

  const urlOf = async (path) => {
    const answer = await member.visit(path);
    return answer.status === 200 ? answer.json().url : answer.status;
  };
  const findings = async () => JSON.parse((await door.admin('/readyz')).text);

  it('is live in under a second, and requests in flight finish', async () => {
    assert.equal(await urlOf('/extra/x'), '/extra/x');
    const inFlight = member.visit('/jupyter/held?change');
    await upstream.arrival('/held?change');
    const took = [];
    for (const to of ['/first/', '/second/', '/rewritten/']) {
      const changed = performance.now();
      writeFileSync(join(tree, '90-extra.yaml'), extra({ uri: to }));
      await until('the new route', async () => (await urlOf('/extra/x')) === `${to}x`);
      took.push(performance.now() - changed);
    }
    // The quickest counts: a machine that does other things as well delays one or the other.
    assert.ok(Math.min(...took) < 1000, `${took} ms`);
    upstream.release();
    const finished = await inFlight;
    assert.equal(finished.status, 200);
    assert.equal(finished.json().url, '/held?change');
  });

  it('sessions outlive it', async () => {
    assert.equal((await member.visit('/oauth2/userinfo')).json().email, 'user@example.com');
  });

  it('a route that is taken away is gone', async () => {
    writeFileSync(join(tree, '90-extra.yaml'), extra());
    await until('the route', async () => (await urlOf('/extra/x')) === '/rewritten/x');
    rmSync(join(tree, '90-extra.yaml'));
    await until('the old route', async () => (await urlOf('/extra/x')) === '/extra/x');
  });

  it('a policy that cannot be read closes what it selects, says so, and the rest serves', async () => {
    const file = join(tree, '91-broken-policy.yaml');
    writeFileSync(file, `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: broken
  namespace: kubeflow
spec:
  selector:
    matchLabels:
      app: jupyter-web-app
  action: DENNY
  rules:
  - {}
`);
    await until('the closed door', async () => (await urlOf('/jupyter/x')) === 503);
    assert.equal(await urlOf('/volumes/x'), '/x');
    const about = await until('the finding', async () => (await findings()).findings.find((finding) => finding.file?.endsWith('91-broken-policy.yaml')));
    assert.equal(about.severity, 'error');
    assert.match(about.object, /kubeflow\/broken/);
    assert.match(about.fault, /`DENNY`/);
    assert.ok(about.line > 0);
    rmSync(file);
    await until('the door to open again', async () => (await urlOf('/jupyter/x')) === '/x');
  });

  it('a route that cannot be read closes its paths, not its neighbours', async () => {
    const file = join(tree, '92-broken-route.yaml');
    writeFileSync(file, extra({ hosts: ['broken.example.com'], http: [{ match: [{ uri: { regex: '/extra/(' } }], redirect: { uri: '/x' } }] }));
    await until('the finding', async () => (await findings()).findings.some((finding) => finding.file?.endsWith('92-broken-route.yaml')));
    const answer = await member.visit('/extra/x', { headers: { host: 'broken.example.com' } });
    assert.equal(answer.status, 503);
    assert.equal(await urlOf('/volumes/x'), '/x');
    rmSync(file);
    await until('no finding', async () => !(await findings()).findings.some((finding) => finding.file?.endsWith('92-broken-route.yaml')));
  });

  it('text that is no YAML is a finding with its line', async () => {
    const file = join(tree, '93-no-yaml.yaml');
    writeFileSync(file, 'apiVersion: v1\nkind: ConfigMap\n\tmetadata: {\n');
    const about = await until('the finding', async () => (await findings()).findings.find((finding) => finding.file?.endsWith('93-no-yaml.yaml')));
    assert.equal(about.severity, 'error');
    assert.equal(await urlOf('/volumes/x'), '/x');
    rmSync(file);
    await until('no finding', async () => !(await findings()).findings.some((finding) => finding.file?.endsWith('93-no-yaml.yaml')));
  });

  it('a tree that cannot be read keeps the last good one and raises an alarm until it is back', async () => {
    const away = `${tree}-away`;
    renameSync(tree, away);
    const alarmed = await until('the alarm', async () => (await findings()).alarm);
    assert.ok(alarmed.includes(tree), alarmed);
    await until('the alarm in the log', () => door.records().some(({ level, message }) => ['WARN', 'ERROR'].includes(level) && message.includes(tree)));
    assert.equal(await urlOf('/volumes/x'), '/x');
    assert.equal((await new Visitor(door).visit('/volumes/x')).status, 403);
    writeFileSync(join(away, '90-extra.yaml'), extra());
    renameSync(away, tree);
    await until('the alarm to end', async () => (await findings()).alarm === null);
    await until('the new route', async () => (await urlOf('/extra/x')) === '/rewritten/x');
  });

  it('an emptied tree opens nothing', async () => {
    const stranger = new Visitor(door);
    assert.equal((await stranger.visit('/volumes/x')).status, 403);
    const away = `${tree}-full`;
    renameSync(tree, away);
    mkdirSync(tree);
    // Before, nobody signed in is refused with the sign-in page; now there is nothing to sign in to.
    await until('the empty tree', async () => (await stranger.visit('/volumes/x')).status === 404);
    const before = upstream.requests.length;
    assert.equal(await urlOf('/volumes/x'), 404);
    assert.equal(upstream.requests.length, before);
    stranger.close();
    rmSync(tree, { recursive: true });
    renameSync(away, tree);
    await until('the tree back', async () => (await urlOf('/volumes/x')) === '/x');
  });
});

describe('the process', () => {
  const tree = fixture('kubeflow-26.03');

  it('killed at any moment it loses no session and no signing key', async () => {
    const state = scratch();
    let door = await openDoor({ manifests: tree, upstream: upstream.port, state });
    let visitor = new Visitor(door);
    await visitor.signIn();
    const cookies = visitor.cookies;
    const token = (await visitor.visit('/jupyter/')).json().headers.authorization;
    const keys = (await visitor.visit('/dex/keys')).json();
    for (let round = 0; round < 3; round += 1) {
      // Somebody is always in the middle of signing in.
      const another = new Visitor(door);
      const signingIn = another.signIn().catch(() => null);
      if (round > 0) await another.visit('/oauth2/start?rd=/').catch(() => null);
      await door.kill();
      await signingIn;
      another.close();
      visitor.close();
      door = await openDoor({ manifests: tree, upstream: upstream.port, state });
      visitor = new Visitor(door);
      visitor.cookies = cookies;
      const page = await visitor.visit('/jupyter/after-kill');
      assert.equal(page.status, 200);
      assert.equal(page.json().headers['kubeflow-userid'], 'user@example.com');
      assert.deepEqual((await visitor.visit('/dex/keys')).json(), keys);
      const bearer = await new Visitor(door).visit('/jupyter/', { headers: { authorization: token } });
      assert.equal(bearer.status, 200);
    }
    const certificate = readFileSync(door.caFile, 'utf8');
    assert.equal(certificate, door.ca);
    visitor.close();
    await door.close();
    discard(state);
  });

  it('two doors on two state directories have two authorities', async () => {
    const one = await openDoor({ manifests: tree, upstream: upstream.port });
    const two = await openDoor({ manifests: tree, upstream: upstream.port });
    assert.notEqual(one.ca, two.ca);
    await assert.rejects(new Visitor({ ...one, ca: two.ca }).visit('/'), /certificate|issuer|self.signed/i);
    await one.close();
    await two.close();
    discard(one.state, two.state);
  });

  it('asked to stop it lets requests in flight finish, takes no new ones, and ends with 0', async () => {
    const door = await openDoor({ manifests: tree, upstream: upstream.port });
    const member = new Visitor(door);
    await member.signIn();
    const inFlight = member.visit('/jupyter/held?drain');
    await upstream.arrival('/held?drain');
    door.signal('SIGTERM');
    await until('no new connections', () => new Visitor(door).visit('/').then(() => false, () => true));
    upstream.release();
    const answer = await inFlight;
    assert.equal(answer.status, 200);
    assert.equal(answer.json().url, '/held?drain');
    assert.equal(await door.end(), 0);
    member.close();
    discard(door.state);
  });

  it('with nothing to do it stops at once', async () => {
    const door = await openDoor({ manifests: tree, upstream: upstream.port });
    const idle = new Visitor(door);
    await idle.visit('/');
    const asked = performance.now();
    assert.equal(await door.close(), 0);
    const took = performance.now() - asked;
    assert.ok(took < 10_000, `${took} ms, while requests in flight would have 20 s`);
    idle.close();
    discard(door.state);
  });

  it('its state directory is for its owner only', async () => {
    const door = await openDoor({ manifests: tree, upstream: upstream.port });
    assert.equal(statSync(door.state).mode & 0o777, 0o700);
    for (const name of readdirSync(door.state)) {
      const { mode } = statSync(join(door.state, name));
      if (/\.(db|key|pem|json)/.test(name)) assert.equal(mode & 0o077, 0, name);
    }
    await door.close();
    discard(door.state);
  });

  it('says what is wrong when it cannot start', async () => {
    const missing = await run('up', '--manifests', '/nonexistent/manifests', '--state', scratch(), '--https', '127.0.0.1:0');
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /\/nonexistent\/manifests/);
    const flag = await run('up', '--no-such-flag');
    assert.equal(flag.code, 2);
    const busy = await openDoor({ manifests: tree, upstream: upstream.port });
    const second = await run('up', '--manifests', tree, '--state', scratch(), '--https', busy.host, '--http', '127.0.0.1:0', '--admin', '127.0.0.1:0');
    assert.equal(second.code, 1);
    assert.ok(second.stderr.includes(busy.host), second.stderr);
    await busy.close();
    discard(busy.state);
  });
});

describe('an application that is not there', () => {
  it('is a 503 that names the Service and how to find it, on the page and in the log', async () => {
    const door = await openDoor({ manifests: fixture('kubeflow-26.03'), resolve: [`volumes-web-app-service.kubeflow=127.0.0.1:${upstream.port}`] });
    const member = new Visitor(door);
    await member.signIn({ want: '/volumes/' });
    assert.equal((await member.visit('/volumes/x')).status, 200);
    const page = await member.visit('/jupyter/x', { headers: { accept: 'text/html' } });
    assert.equal(page.status, 503);
    assert.match(page.headers['content-type'], /^text\/html/);
    assert.match(page.text, /jupyter-web-app-service\.kubeflow/);
    assert.match(page.text, /--resolve/);
    await until('the log', () => door.output().includes('jupyter-web-app-service.kubeflow'));
    member.close();
    await door.close();
    discard(door.state);
  });

  it('serves again when it is back, without a restart', async () => {
    const server = http.createServer((_, response) => response.end('first'));
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const { port } = server.address();
    const door = await openDoor({ manifests: fixture('kubeflow-26.03'), upstream: port });
    const member = new Visitor(door);
    await member.signIn();
    assert.equal((await member.visit('/jupyter/')).text, 'first');
    server.closeAllConnections?.();
    await new Promise((resolve) => { server.close(resolve); });
    assert.equal((await member.visit('/jupyter/')).status, 503);
    const again = http.createServer((_, response) => response.end('second'));
    await new Promise((resolve) => { again.listen(port, '127.0.0.1', resolve); });
    assert.equal((await member.visit('/jupyter/')).text, 'second');
    again.closeAllConnections?.();
    again.close();
    member.close();
    await door.close();
    discard(door.state);
  });
});
