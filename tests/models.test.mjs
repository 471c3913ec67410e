// KServe on a stock Kubeflow behind a certificate with one wildcard, as a cloud issues it: the usual hosts are one label
// too deep for it, until the certificate or the template of hosts changes.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { discard, fixture, openDoor, run, until } from './door.mjs';
import { inferenceService, manifest } from './objects.mjs';
import { StockTree, onLoopback, selfSigned } from './tree.mjs';
import { startUpstream } from './upstream.mjs';
import { Visitor } from './visitor.mjs';

const HOST = 'kf.example.org';
const NESTED = `sklearn-iris.team.${HOST}`;
const FLAT = `sklearn-iris-team.${HOST}`;
const PREDICT = '/v1/models/sklearn-iris:predict';
const BODY = '{"instances": [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]}';

let upstream;
let tree;
let door;

/** Somebody who trusts only `ca` and finds every name at the door. */
const visitor = (ca) => new Visitor({
  url: `https://${HOST}:${door.https}`,
  ca,
  lookup: onLoopback,
});

const predict = (who, host, headers = {}) => who.visit(`https://${host}:${door.https}${PREDICT}`, {
  method: 'POST', body: BODY, headers: { 'content-type': 'application/json', ...headers },
});

/** The codes that `doctor` finds about the model. */
async function complaints() {
  const { stdout } = await run('doctor', tree.directory, '--format', 'json');
  return JSON.parse(stdout).findings.filter(({ code }) => code.startsWith('DW10'));
}

const seeds = (name) => readFileSync(join(fixture('seeds/ibm'), name), 'utf8').replaceAll('${HOSTNAME}', HOST);

before(async () => {
  upstream = await startUpstream();
  tree = new StockTree();
  tree.without(['Gateway', 'kubeflow-gateway'], ['ConfigMap', 'config-domain'], ['ConfigMap', 'config-network']);
  const [domain] = seeds('20-knative-config.yaml').split(/^---\n/m);
  tree.put('80-gateway.yaml', seeds('10-gateway-kubeflow-gateway.yaml'));
  tree.put('81-domain.yaml', domain);
  tree.put('85-model.yaml', manifest(inferenceService('team', 'sklearn-iris')));
});
after(async () => {
  await door?.close();
  await upstream?.stop();
  tree?.discard();
  discard(door?.state);
});

describe('a model behind a wildcard certificate', () => {
  it('has a host that the certificate does not cover, and doctor says what to do', async () => {
    const short = selfSigned(HOST, `*.${HOST}`);
    tree.putCertificate('istio-ingressgateway-certs', short);
    door = await openDoor({ manifests: tree.directory, upstream: upstream.port });
    await assert.rejects(predict(visitor(short.cert), NESTED), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    const found = (await complaints()).filter(({ code }) => code === 'DW1010');
    assert.deepEqual(found.map(({ severity }) => severity), ['error', 'error'], 'the model and its predictor');
    assert.ok(found.some(({ fault }) => fault.includes(`\`${NESTED}\``) && fault.includes(`\`*.${HOST}\``)));
    assert.ok(found.every(({ remedy }) => remedy.includes('{{.Name}}-{{.Namespace}}.{{.Domain}}')));
  });

  it('is reached under the nested host once the certificate has the deeper wildcard', async () => {
    const deep = selfSigned(HOST, `*.${HOST}`, `*.team.${HOST}`);
    tree.putCertificate('istio-ingressgateway-certs', deep);
    const member = visitor(deep.cert);
    await until('the new certificate', () => predict(member, NESTED).catch(() => null));
    assert.equal((await predict(member, NESTED)).status, 403, 'nobody signed in yet');
    await member.signIn();
    const answer = await predict(member, NESTED);
    assert.equal(answer.status, 200);
    const seen = answer.json();
    assert.equal(seen.url, PREDICT);
    assert.equal(seen.body, BODY);
    assert.equal(seen.headers.host, 'sklearn-iris-predictor.team.svc.cluster.local');
    assert.equal(seen.headers['kserve-isvc-name'], 'sklearn-iris');
    assert.equal(seen.headers['kserve-isvc-namespace'], 'team');
    assert.equal(seen.headers['knative-serving-namespace'], 'team');
    assert.equal(seen.headers['kubeflow-userid'], 'user@example.com');
    assert.ok(!JSON.stringify(seen.headers).includes('oauth2_proxy_kubeflow'), 'the session stays at the door');
    assert.deepEqual((await complaints()).filter(({ severity }) => severity === 'error'), []);
    member.close();
  });

  it('is reached under the flattened host once the template makes one label of it', async () => {
    const short = selfSigned(HOST, `*.${HOST}`);
    tree.putCertificate('istio-ingressgateway-certs', short);
    const [, network] = seeds('20-knative-config.yaml').split(/^---\n/m);
    tree.put('82-network.yaml', network);
    const member = visitor(short.cert);
    await until('the new hosts', async () => (await predict(member, FLAT).catch(() => null))?.status === 403);
    await member.signIn();
    const answer = await predict(member, FLAT);
    assert.equal(answer.status, 200);
    assert.equal(answer.json().headers.host, 'sklearn-iris-predictor.team.svc.cluster.local');
    const dashboard = await member.visit('/');
    assert.equal(dashboard.status, 200, 'the dashboard is where it was');
    assert.deepEqual((await complaints()).filter(({ severity }) => severity === 'error'), []);
    member.close();
  });
});
