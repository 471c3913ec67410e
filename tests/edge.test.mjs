// The whole edge at once: the stock Kubeflow on a domain with a wildcard certificate, a model, a notebook, an event
// stream and a gRPC service. One person signs in at the real form and uses all of them; nobody else does.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { discard, openDoor, scratch, until } from './door.mjs';
import { configMap, gateway, inferenceService, manifest, prefixTo, service, virtualService } from './objects.mjs';
import { askPython, startPython } from './python.mjs';
import { mintTokens } from './tokens.mjs';
import { StockTree, onLoopback, selfSigned } from './tree.mjs';
import { readEventByEvent, startUpstream } from './upstream.mjs';
import { Visitor } from './visitor.mjs';
import { Frames, openWebSocket, textFrame } from './websocket.mjs';

const USER = 'user@example.com';
const TEAM = 'kubeflow-user-example-com';
const HOST = 'kf.example.org';
const SECRET = 'kubeflow-tls';
const LAB = `/notebook/${TEAM}/lab`;
const KERNEL = `${LAB}/api/kernels/0b7c/channels?session_id=5f`;
const PREDICT = '/v1/models/iris:predict';
const INSTANCES = '{"instances": [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]}';

const GATEWAY = manifest(
  gateway(
    'kubeflow', 'kubeflow-gateway',
    [443, 'HTTPS', [HOST, `*.${HOST}`], { mode: 'SIMPLE', credentialName: SECRET }],
    [80, 'HTTP', ['*'], { httpsRedirect: true }],
  ),
  configMap('knative-serving', 'config-domain', { [HOST]: '' }),
);

const network = (template) => manifest(configMap('knative-serving', 'config-network', template ? { domainTemplate: template } : {}));

const route = (name, ...http) => virtualService(TEAM, name, { gateways: ['kubeflow/kubeflow-gateway'], http });

// What the controllers of Kubeflow make for a person and a notebook, and what the person adds.
const WORK = manifest(
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: TEAM, annotations: { owner: USER }, labels: { 'istio-injection': 'enabled' } } },
  {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'ns-owner-access-istio', namespace: TEAM },
    spec: {
      rules: [{
        from: [{ source: { principals: ['cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account'] } }],
        when: [{ key: 'request.headers[kubeflow-userid]', values: [USER] }],
      }],
    },
  },
  service(TEAM, 'lab', 'http-lab', { port: 80, targetPort: 8888 }),
  route(`notebook-${TEAM}-lab`, prefixTo(`${LAB}/`, `lab.${TEAM}.svc.cluster.local`, 80, { rewrite: { uri: `${LAB}/` } })),
  inferenceService(TEAM, 'iris'),
  service(TEAM, 'calls', 'grpc', 9000),
  route('calls', prefixTo('/door.Calls/', `calls.${TEAM}.svc.cluster.local`, 9000)),
);

let upstream;
let calls;

before(async () => {
  [upstream, calls] = await Promise.all([startUpstream(), startPython('grpc_server.py')]);
});
after(async () => {
  await Promise.all([upstream, calls].map((peer) => peer?.stop()));
});

/** Opens the door before a tree whose models have hosts of this template and a certificate of these names. */
async function openEdge(template, ...names) {
  const tree = new StockTree();
  tree.without(['Gateway', 'kubeflow-gateway'], ['ConfigMap', 'config-domain'], ['ConfigMap', 'config-network']);
  const certificate = selfSigned(...names);
  tree.put('80-gateway.yaml', GATEWAY);
  tree.put('81-network.yaml', network(template));
  tree.put('85-work.yaml', WORK);
  tree.putCertificate(SECRET, certificate);
  const open = await openDoor({
    manifests: tree.directory,
    upstream: upstream.port,
    resolve: [`calls.${TEAM}=127.0.0.1:${calls.port}`],
  });
  // Whoever comes knows the name of the place and trusts this certificate only.
  const place = { url: `https://${HOST}:${open.https}`, host: `${HOST}:${open.https}`, name: HOST, ca: certificate.cert };
  return {
    ...open,
    ...place,
    lookup: onLoopback,
    async close() {
      await open.close();
      tree.discard();
      discard(open.state);
    },
  };
}

/** Asks a model for a prediction. */
const predict = (who, door, host) => who.visit(`https://${host}:${door.https}${PREDICT}`, {
  method: 'POST', body: INSTANCES, headers: { 'content-type': 'application/json' },
});

/** What arrives at a model when `who` asks under `host`, and what is answered to everybody else. */
async function assertServed(door, who, host) {
  const answer = await predict(who, door, host);
  assert.equal(answer.status, 200, answer.text);
  const seen = answer.json();
  assert.equal(seen.url, PREDICT);
  assert.equal(seen.body, INSTANCES);
  assert.equal(seen.headers.host, `iris-predictor.${TEAM}.svc.cluster.local`);
  assert.equal(seen.headers['kubeflow-userid'], USER);
  const before = upstream.requests.length;
  const stranger = new Visitor(door);
  const refused = await predict(stranger, door, host);
  stranger.close();
  assert.equal(refused.status, 403);
  assert.match(refused.headers['content-type'], /^text\/html/);
  assert.equal(upstream.requests.length, before, 'nobody else reaches it');
}

describe('Kubeflow on a domain with one wildcard', () => {
  let door;
  let member;
  let caFile;
  let aside;

  before(async () => {
    door = await openEdge('{{.Name}}-{{.Namespace}}.{{.Domain}}', HOST, `*.${HOST}`);
    aside = scratch();
    caFile = join(aside, 'ca.crt');
    writeFileSync(caFile, door.ca);
    member = new Visitor(door);
    const page = await member.signIn({ want: `${LAB}/lab` });
    assert.equal(page.status, 200, page.text);
    assert.equal(page.url.pathname, `${LAB}/lab`);
  });
  after(async () => {
    member?.close();
    await door?.close();
    discard(aside);
  });

  it('the model answers on the flattened host', async () => {
    await assertServed(door, member, `iris-${TEAM}.${HOST}`);
  });

  it('a page without a session is refused with the sign-in page', async () => {
    const stranger = new Visitor(door);
    const page = await stranger.visit(`${LAB}/lab`, { headers: { accept: 'text/html' } });
    stranger.close();
    assert.equal(page.status, 403);
    assert.match(page.text, /<form[^>]*action="\/oauth2\/start/);
  });

  it("a notebook's kernel is talked to over HTTP/1.1", async () => {
    const socket = await openWebSocket(door, KERNEL, {
      cookie: member.cookieHeader(),
      origin: door.url,
      'sec-websocket-protocol': 'v1.kernel.websocket.jupyter.org',
    });
    assert.equal(socket.status, 101);
    assert.ok(socket.accepted);
    assert.equal(socket.headers.get('x-seen-user'), USER);
    assert.equal(socket.headers.get('sec-websocket-protocol'), 'v1.kernel.websocket.jupyter.org');
    const cell = JSON.stringify({ header: { msg_type: 'execute_request' }, content: { code: `print(${'1+'.repeat(2000)}1)` } });
    for (const text of ['kernel_info_request', cell]) {
      socket.send(text);
      assert.equal(await socket.next(), `echo ${text}`);
    }
    await socket.close();
    assert.equal(upstream.seen('/channels').at(-1).url, KERNEL);
  });

  it('and over HTTP/2', async () => {
    const session = http2.connect(door.url, { ca: door.ca, lookup: onLoopback });
    await once(session, 'remoteSettings');
    const ask = (headers) => session.request({
      ':method': 'CONNECT', ':protocol': 'websocket', ':path': KERNEL, 'sec-websocket-version': '13', origin: door.url, ...headers,
    }, { endStream: false });

    const stream = ask({ cookie: member.cookieHeader() });
    const [head] = await once(stream, 'response');
    assert.equal(head[':status'], 200);
    assert.equal(head['x-seen-user'], USER);
    const texts = [];
    const frames = new Frames((text) => texts.push(text), () => {});
    stream.on('data', (chunk) => frames.take(chunk));
    for (const text of ['one', 'x'.repeat(20_000)]) {
      stream.write(textFrame(text, { masked: true }));
      assert.equal(await until('the echo', () => texts.shift()), `echo ${text}`);
    }
    stream.close();

    // The same connection, nobody signed in on this stream.
    const before = upstream.requests.length;
    const refused = ask({});
    const [answer] = await once(refused, 'response');
    assert.equal(answer[':status'], 401);
    assert.equal(upstream.requests.length, before);
    refused.close();
    session.close();
  });

  it('but not without a session', async () => {
    const before = upstream.requests.length;
    const socket = await openWebSocket(door, KERNEL);
    // `/api/` is among the paths of the login proxy that programs ask.
    assert.equal(socket.status, 401);
    await socket.close();
    const elsewhere = await openWebSocket(door, `${LAB}/terminals/websocket/1`);
    // Elsewhere too: nobody sees a page that answers a WebSocket.
    assert.equal(elsewhere.status, 401);
    await elsewhere.close();
    assert.equal(upstream.requests.length, before);
  });

  it('events arrive one by one as they happen', async () => {
    await readEventByEvent(member, `${LAB}/api`);
    const stranger = new Visitor(door);
    const refused = await stranger.visit(`${LAB}/api/news`, { headers: { accept: 'text/event-stream' } });
    stranger.close();
    assert.equal(refused.status, 401);
    assert.match(refused.headers['content-type'], /^application\/json/);
  });

  /** Two gRPC calls with these pairs of metadata. */
  const callAs = (...metadata) => askPython('grpc_client.py', `127.0.0.1:${door.https}`, caFile, 'as', HOST, JSON.stringify(metadata));

  const SPOKEN = {
    unary: { text: 'hello door', initial: 'yes', trailing: 'done' },
    unaryCode: 'OK',
    bidirectional: ['a!', 'b!', 'c!'],
    end: [],
    trailing: 'talked',
    bidirectionalCode: 'OK',
  };

  it('gRPC passes with the cookie of the session', async () => {
    assert.deepEqual(await callAs(['cookie', member.cookieHeader()]), SPOKEN);
  });

  it("gRPC passes with a token of the provider", async () => {
    const { id_token: token } = await mintTokens(door);
    assert.deepEqual(await callAs(['authorization', `Bearer ${token}`]), SPOKEN);
  });

  it('gRPC without either, or with what is none, is refused in its own form', async () => {
    const refused = { unaryCode: 'UNAUTHENTICATED', bidirectional: [], bidirectionalCode: 'UNAUTHENTICATED' };
    assert.deepEqual(await callAs(), refused);
    assert.deepEqual(await callAs(['cookie', 'oauth2_proxy_kubeflow=forged']), refused);
    assert.deepEqual(await callAs(['authorization', 'Bearer a.b.c']), refused);
  });
});

describe('Kubeflow on a domain whose certificate has the deeper wildcard', () => {
  let door;
  let member;

  before(async () => {
    door = await openEdge(null, HOST, `*.${HOST}`, `*.${TEAM}.${HOST}`);
    member = new Visitor(door);
    await member.signIn();
  });
  after(async () => {
    member?.close();
    await door?.close();
  });

  it('the model answers on the nested host', async () => {
    await assertServed(door, member, `iris.${TEAM}.${HOST}`);
  });

  it('and the dashboard is where it was', async () => {
    const page = await member.visit('/');
    assert.equal(page.status, 200);
    assert.equal(page.json().headers['kubeflow-userid'], USER);
  });
});
