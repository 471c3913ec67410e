// The commands that read manifests without serving them.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { copyOf, discard, fixture, run, scratch } from './door.mjs';
import { authorizationPolicy, manifest, tlsSecret, virtualService } from './objects.mjs';
import { ofServer } from './tree.mjs';

const STOCK = fixture('kubeflow-26.03');
const explain = (...args) => run('explain', '--manifests', STOCK, '--host', 'x', ...args);

describe('doorward explain', () => {
  it('names the route and the deciding policy of a signed-in request, with file and line', async () => {
    const { code, stdout } = await explain('--path', '/pipeline', '--user', 'user@example.com');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /kubeflow\/ml-pipeline-ui/);
    assert.match(stdout, /20-istio-networking\.yaml:\d+/);
    assert.match(stdout, /30-istio-security\.yaml:\d+/);
  });

  it('says that somebody unknown has to sign in, and which policy says so', async () => {
    const { code, stdout } = await explain('--path', '/pipeline', '--anonymous');
    assert.equal(code, 4, stdout);
    assert.match(stdout, /istio-ingressgateway-oauth2-proxy/);
    assert.match(stdout, /30-istio-security\.yaml:\d+/);
  });

  it('says which policy refuses', async () => {
    const { code, stdout } = await explain('--path', '/ml_metadata/x', '--user', 'user@example.com');
    assert.equal(code, 3, stdout);
    assert.match(stdout, /global-deny-all/);
  });

  it('says which clause of a policy does not hold, and where', async () => {
    const tree = copyOf(STOCK);
    const dashboard = 'cluster.local/ns/kubeflow/sa/centraldashboard';
    writeFileSync(join(tree, '95-narrow.yaml'), manifest(authorizationPolicy('kubeflow', 'narrow', { action: 'DENY', rules: [{ from: [{ source: { principals: [dashboard] } }] }] })));
    const asked = ['explain', '--manifests', tree, '--host', 'x', '--path', '/volumes/x', '--user', 'user@example.com'];
    const { stdout } = await run(...asked);
    assert.match(stdout, /rules\[0\]\.from\[0\]\.source\.principals: is ".*gateway.*", wants ".*centraldashboard"  .*95-narrow\.yaml:\d+/);
    const told = JSON.parse((await run(...asked, '--format', 'json')).stdout);
    const policy = told.steps.find((step) => step.policy === 'AuthorizationPolicy kubeflow/narrow');
    assert.equal(policy.matched, null);
    assert.equal(policy.unmet[0].clause, 'rules[0].from[0].source.principals');
    assert.deepEqual(policy.unmet[0].names, [dashboard]);
    assert.equal(policy.unmet[0].found.kind, 'values');
    discard(tree);
  });

  it('says what a person can reach, and what not, and why', async () => {
    const ask = (...args) => run('explain', '--manifests', STOCK, ...args);
    const { code, stdout } = await ask('--user', 'user@example.com');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /\/pipeline\* +kubeflow +ml-pipeline-ui\.kubeflow:80 +allowed .*kubeflow\/ml-pipeline-ui .*30-istio-security\.yaml:\d+/);
    assert.match(stdout, /\/kfam\/\* +kubeflow +profiles-kfam\.kubeflow:8081 +allowed +by doorward, kfam/);
    assert.match(stdout, /\/ml_metadata\* +kubeflow +metadata-envoy-service\.kubeflow:9090 +refused .*istio-system\/global-deny-all .*30-istio-security\.yaml:\d+/);
    assert.match(stdout, /namespace kubeflow: \d+ allowed, \d+ refused/);
    const { reach } = JSON.parse((await ask('--anonymous', '--format', 'json')).stdout);
    const pipelines = reach.find((row) => row.path === '/pipeline*');
    assert.equal(pipelines.answer.outcome, 'sign_in');
    assert.equal(pipelines.namespace, 'kubeflow');
  });

  it('says what changes for whom when other manifests take the place of these', async () => {
    const tree = copyOf(STOCK);
    const ask = (...args) => run('explain', '--manifests', STOCK, '--diff', tree, ...args);
    const same = await ask();
    assert.equal(same.code, 0, same.stdout);
    assert.match(same.stdout, /^nothing changes \(\d+ requests made up\)/);
    writeFileSync(join(tree, '99-not-bob.yaml'), manifest(authorizationPolicy('kubeflow', 'not-bob', {
      action: 'DENY',
      selector: { matchLabels: { app: 'ml-pipeline-ui' } },
      rules: [{ when: [{ key: 'request.headers[kubeflow-userid]', values: ['bob@example.com'] }] }],
    })));
    const { code, stdout } = await ask();
    assert.equal(code, 1, stdout);
    assert.match(stdout, /^less is let through\n {2}bob@example\.com\n/);
    assert.match(stdout, /was {2}allowed: .*kubeflow\/ml-pipeline-ui .*30-istio-security\.yaml:\d+/);
    assert.match(stdout, /now {2}refused: .*kubeflow\/not-bob .*99-not-bob\.yaml:\d+/);
    const { changes } = JSON.parse((await ask('--format', 'json')).stdout);
    assert.deepEqual(changes.map((change) => [change.way, change.who]), [['closes', ['bob@example.com']]]);
    assert.equal((await ask('--user', 'alice@example.com')).code, 0, 'nothing changes for others');
    assert.equal((await run('explain', '--manifests', STOCK, '--diff', '/nonexistent')).code, 2);
    discard(tree);
  });

  it('answers in JSON too', async () => {
    const { code, stdout } = await explain('--path', '/pipeline', '--user', 'user@example.com', '--format', 'json');
    assert.equal(code, 0);
    const told = JSON.parse(stdout);
    assert.match(JSON.stringify(told), /ml-pipeline-ui/);
    assert.match(JSON.stringify(told), /30-istio-security\.yaml/);
  });

  it('calls bad usage by its exit code', async () => {
    assert.equal((await run('explain', '--manifests', STOCK)).code, 2);
    assert.equal((await explain('--path', '/x', '--no-such-flag')).code, 2);
  });
});

describe('doorward doctor', () => {
  it('reports that the gateway of the stock tree is plain HTTP', async () => {
    const { code, stdout } = await run('doctor', STOCK);
    assert.equal(code, 0, 'warnings and notes only');
    assert.match(stdout, /kubeflow-gateway/);
    assert.match(stdout, /20-istio-networking\.yaml:\d+/);
    assert.match(stdout, /plain HTTP/);
    assert.match(stdout, /DW\d{4}/);
    assert.match(stdout, /help:/);
  });

  it('speaks JSON and SARIF', async () => {
    const json = JSON.parse((await run('doctor', STOCK, '--format', 'json')).stdout);
    assert.match(JSON.stringify(json), /DW\d{4}/);
    const sarif = JSON.parse((await run('doctor', STOCK, '--format', 'sarif')).stdout);
    assert.equal(sarif.version, '2.1.0');
    assert.ok(sarif.runs[0].results.length > 0);
    assert.ok(sarif.runs[0].results.every((result) => result.message.text && result.ruleId));
  });

  it('calls a broken tree by its exit code, with the place', async () => {
    const tree = copyOf(STOCK);
    writeFileSync(join(tree, '99-broken.yaml'), manifest(virtualService('kubeflow', 'lost', {
      gateways: ['no-such-gateway'], http: [{ route: [{ destination: { host: 'nobody.kubeflow.svc.cluster.local' } }] }],
    })));
    const { code, stdout } = await run('doctor', tree);
    assert.equal(code, 1, stdout);
    assert.match(stdout, /99-broken\.yaml:\d+/);
    assert.match(stdout, /`?no-such-gateway`?/);
    discard(tree);
  });

  it('names the traps in the manifests that people publish', async () => {
    const told = async (seed) => {
      const { stdout } = await run('doctor', fixture(`seeds/${seed}`), '--format', 'json');
      return JSON.parse(stdout).findings.map(({ code, file, line }) => `${code} ${basename(file ?? '')}:${line}`);
    };
    const onprem = await told('onprem');
    for (const trap of [
      'DW0305 07-virtualservice-oauth2-proxy.yaml:17', // the port of Dex in the route to the login proxy
      'DW0416 08-authorizationpolicy-external-auth.yaml:15', // only /dex/* is exempt
      'DW0417 08-authorizationpolicy-external-auth.yaml:15', // and /dex is not
      'DW0302 20-virtualservice-centraldashboard.yaml:1', // a patch without hosts
      'DW0329 20-virtualservice-centraldashboard.yaml:9', // a sign-out that browsers keep
      'DW0112 istio-values.yaml:7', // a deprecated list of headers
      'DW0108 02-certificate-gateway-cert-in-ingress.yaml:9',
      'DW0214 03-gateway-ingress-gateway.yaml:11',
    ]) assert.ok(onprem.includes(trap), `${trap} in ${onprem}`);
    const azure = await told('azure');
    for (const trap of [
      'DW0806 20-certificate.yaml:12', // a server's certificate that is an authority
      'DW0806 20-certificate.yaml:6', // an old version
      'DW0614 30-oidc-authservice.params:3', // where people come back to
    ]) assert.ok(azure.includes(trap), `${trap} in ${azure}`);
    const ibm = await told('ibm');
    for (const trap of ['DW0108 10-gateway-kubeflow-gateway.yaml:11', 'DW1001 20-knative-config.yaml:7']) {
      assert.ok(ibm.includes(trap), `${trap} in ${ibm}`);
    }
    assert.ok((await told('aws')).some((trap) => trap.endsWith(' 20-legacy-rbac.yaml:2')), 'access rules of an old Istio');
  });

  it('says nothing of manifests that are as they should be', async () => {
    const tree = copyOf(fixture('clean'));
    writeFileSync(join(tree, 'certificate.yaml'), manifest(tlsSecret('istio-system', 'door', ofServer('apps.example.com'))));
    const { code, stdout } = await run('doctor', tree, '--format', 'json');
    assert.deepEqual(JSON.parse(stdout).findings, []);
    assert.equal(code, 0);
    discard(tree);
  });

  it('mends into a copy what a remedy only has to type', async () => {
    const aside = scratch();
    const copy = join(aside, 'mended');
    const { stdout } = await run('doctor', fixture('seeds/onprem'), '--fix', copy);
    for (const fixed of [
      /07-virtualservice-oauth2-proxy\.yaml:17: fixed DW0305/,
      /08-authorizationpolicy-external-auth\.yaml:15: fixed DW0416/,
      /20-virtualservice-centraldashboard\.yaml:9: fixed DW0329/,
      /istio-values\.yaml:7: fixed DW0112/,
    ]) assert.match(stdout, fixed);
    const mended = (name) => readFileSync(join(copy, name), 'utf8');
    const before = (name) => readFileSync(join(fixture('seeds/onprem'), name), 'utf8');
    assert.equal(mended('07-virtualservice-oauth2-proxy.yaml'), before('07-virtualservice-oauth2-proxy.yaml').replace('5556', '80'));
    assert.match(mended('08-authorizationpolicy-external-auth.yaml'), /notPaths: \["\/dex\/\*", "\/dex", "\/oauth2", "\/oauth2\/\*"\]|notPaths: \["\/dex\/\*", "\/oauth2", "\/oauth2\/\*", "\/dex"\]/);
    assert.equal(mended('05-virtualservice-dex.yaml'), before('05-virtualservice-dex.yaml'), 'the rest is as it was');
    assert.doesNotMatch((await run('doctor', copy)).stdout, /DW0305|DW0416|DW0329|DW0112/);
    assert.equal((await run('doctor', fixture('seeds/onprem'), '--fix', copy)).code, 2, 'nothing is written over');
    discard(aside);
  });

  it('cannot read what is not there', async () => {
    const { code, stderr } = await run('doctor', '/nonexistent/manifests');
    assert.equal(code, 2);
    assert.match(stderr, /\/nonexistent\/manifests/);
  });

  it('prints no secret', async () => {
    const all = [await run('doctor', STOCK), await run('doctor', STOCK, '--format', 'json'), await explain('--path', '/', '--anonymous')];
    for (const { stdout, stderr } of all) {
      for (const secret of ['pUBnBOY80SnXgjibTYM9ZWNzY2xreNGQok', '7d16fee92f8d11b8940b081b3f8b8acb', '$2y$12$4K']) {
        assert.ok(!`${stdout}${stderr}`.includes(secret), secret);
      }
    }
  });
});

describe('doorward', () => {
  it('tells its version and completes shells', async () => {
    assert.match((await run('version')).stdout, /^doorward \d+\.\d+\.\d+\n$/);
    assert.match((await run('completions', 'bash')).stdout, /doorward/);
  });

  it('calls an unknown command bad usage', async () => {
    assert.equal((await run('no-such-command')).code, 2);
  });
});
