// Cases from a seed: VirtualServices with hosts of their own, and requests that hit them or only just miss. The same
// seed makes the same cases on every machine.

import { headerEdits, redirects, rewrites } from './actions.mjs';
import { matches, requestFor } from './conditions.mjs';
import * as objects from '../objects.mjs';
import { Dice } from './dice.mjs';
import { PATH_INPUTS, paths } from './paths.mjs';

/** The Services that exist. */
export const SERVICES = ['a', 'b', 'c', 'd'];

/** Objects and requests of `count` groups and of the hand-written paths: `{ objects, requests }`. */
export function generate(seed, count) {
  const dice = new Dice(seed);
  const made = { objects: [...world(), ...catchAll()], requests: [] };
  const kinds = [matching, matching, ordering, rewriting, redirecting, editing, hosting];
  for (let number = 0; number < count; number += 1) {
    const group = kinds[number % kinds.length](dice, `g${number}.test`, number);
    made.objects.push(...group.services);
    for (const request of group.requests) made.requests.push({ ...request, mode: 'DEFAULT', group: `${group.name} ${number}` });
  }
  made.objects.push(virtualService('paths', ['paths.test'], pathRoutes()), ...repeatedHeaders());
  for (const [group, headers] of [...FROM_OUTSIDE.map((one) => ['stripped', [one]]), ['cookies', [['cookie', 'a=1'], ['cookie', 'b=2']]]]) {
    made.requests.push({ method: 'GET', target: '/headers', host: 'paths.test', headers, mode: 'DEFAULT', group });
  }
  made.objects.push(virtualService('kept', ['kept.test'], ['/foo', '/bar/', '/'].map((uri) => ({ match: [{ uri: { prefix: uri } }], rewrite: { uri }, route: [destination('a')] }))));
  for (const target of ['/foo/x', '/bar/?q=1', '/other', '/foo/%61']) made.requests.push({ method: 'GET', target, host: 'kept.test', mode: 'DEFAULT', group: 'kept' });
  for (const values of [[], [''], ['one'], ['two'], ['one', 'two'], ['two', 'one'], ['one,two'], ['one', ''], ['', '']]) {
    for (const target of REPEATED_MATCHES.keys()) {
      made.requests.push({ method: 'GET', target: `/${target}`, host: 'repeated.test', headers: values.map((value) => ['x-a', value]), mode: 'DEFAULT', group: 'repeated' });
    }
  }
  for (const mode of ['NONE', 'DEFAULT', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES']) {
    for (const target of [...PATH_INPUTS, ...paths(dice, Math.ceil(count / 2))]) {
      made.requests.push({ method: 'GET', target, host: 'paths.test', mode, group: `path ${mode}` });
    }
  }
  return made;
}

const destination = (service) => ({ destination: { host: `${service}.apps.svc.cluster.local`, port: { number: 80 } } });

const virtualService = (name, hosts, http, { namespace = 'apps', gateways = ['istio-system/front'], exportTo } = {}) => (
  objects.virtualService(namespace, name, { hosts, gateways, ...exportTo && { exportTo }, http })
);

function world() {
  return [
    objects.gateway('istio-system', 'front', [80, 'HTTP', ['*']], [443, 'HTTPS', ['*'], { mode: 'SIMPLE', credentialName: 'front' }]),
    objects.gateway('istio-system', 'narrow', [80, 'HTTP', ['one.narrow.test', '*.wide.narrow.test', 'apps/two.narrow.test', './three.narrow.test']]),
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'apps' } },
    ...SERVICES.map((name) => objects.service('apps', name, 'http', { port: 80, targetPort: 8080 })),
  ];
}

/** What stands on `*`: behind every host without a VirtualService of its own. */
function catchAll() {
  return [
    virtualService('star', ['*'], [{ match: [{ uri: { prefix: '/star' } }], route: [destination('d')] }]),
    virtualService('narrow-star', ['*'], [{ match: [{ uri: { prefix: '/narrow' } }], route: [destination('c')] }], { gateways: ['istio-system/narrow'] }),
  ];
}

/** Conditions on a header that comes never, once or twice. */
const REPEATED_MATCHES = [
  { exact: 'one' }, { exact: 'one,two' }, { exact: '' }, { prefix: 'one' }, { prefix: 'two' }, { regex: 'one' }, { regex: '.*two' }, { regex: '.*' }, { regex: '[^,]+' }, {},
].flatMap((value) => [{ headers: { 'x-a': value } }, { withoutHeaders: { 'x-a': value } }]);

function repeatedHeaders() {
  const http = REPEATED_MATCHES.map((match, at) => ({ match: [{ uri: { exact: `/${at}` }, ...match }], route: [destination('a')] }));
  return [virtualService('repeated', ['repeated.test'], http)];
}

/** Headers that a client may send and that proxies treat in their own ways. */
const FROM_OUTSIDE = `x-envoy-internal x-envoy-original-path x-envoy-original-host x-envoy-retry-on x-envoy-retry-grpc-on x-envoy-max-retries
  x-envoy-upstream-alt-stat-name x-envoy-upstream-rq-timeout-ms x-envoy-upstream-rq-per-try-timeout-ms x-envoy-expected-rq-timeout-ms x-envoy-force-trace
  x-envoy-ip-tags x-envoy-original-url x-envoy-hedge-on-per-try-timeout x-envoy-attempt-count x-envoy-decorator-operation x-envoy-downstream-service-cluster
  x-envoy-downstream-service-node x-envoy-external-address x-envoy-peer-metadata x-envoy-retriable-status-codes x-envoy-retriable-header-names x-envoy-foo
  x-forwarded-client-cert x-forwarded-port x-real-ip forwarded x-forwarded-proto via server referer accept accept-encoding user-agent x-custom keep-alive
  proxy-connection proxy-authorization kubeflow-userid kubeflow-groups x-auth-request-email x_auth_request_email`.split(/\s+/).map((name) => [name, '7']);

const forwards = (dice) => ({ route: [destination(dice.one(SERVICES))] });

function matching(dice, host, number) {
  const http = dice.times(1, 4, () => ({ match: dice.times(1, 3, () => matches(dice)), ...forwards(dice) }));
  if (dice.chance(0.3)) http.push(forwards(dice));
  const services = [virtualService(`match-${number}`, [host], http)];
  return { name: 'match', services, requests: dice.times(8, 8, () => requestFor(dice, services, host)) };
}

/** Several VirtualServices on one host, whose names and namespaces say who comes first. */
function ordering(dice, host, number) {
  const simple = () => dice.one([
    undefined,
    [{}],
    [{ uri: { prefix: '/' } }],
    [{ uri: { regex: '.*' } }],
    [{ uri: { prefix: '/a' } }, { uri: { prefix: '/' } }, { uri: { prefix: '/b' } }],
    [{ uri: { prefix: '/' }, headers: { 'x-a': { exact: 'one' } } }],
    [{ uri: { prefix: '/' }, queryParams: { q: { exact: '1' } } }],
    [{ uri: { prefix: '/a' } }],
    [{ uri: { prefix: '/a/b' } }],
    [{ uri: { exact: '/a/b/c' } }],
    [{ uri: { prefix: '/a' }, gateways: ['istio-system/other'] }],
    [{ uri: { prefix: '/a' }, gateways: ['istio-system/front'], sourceLabels: { app: 'other' } }],
    [{ uri: { prefix: '/a/b' }, sourceLabels: { istio: 'ingressgateway' } }],
    [{ uri: { prefix: '/a' }, sourceNamespace: 'apps' }],
    [{ uri: { prefix: '/a' }, port: 443 }, { uri: { prefix: '/b' }, port: 80 }],
    [{ method: { exact: 'POST' } }],
  ]);
  const services = dice.times(2, 4, (at) => {
    const http = dice.times(1, 3, () => {
      const match = simple();
      return { ...match && { match }, ...forwards(dice) };
    });
    const namespace = dice.one(['apps', 'apps', 'istio-system']);
    const exportTo = dice.one([undefined, undefined, ['*'], ['.'], ['istio-system'], ['istio-system', 'apps'], ['~'], ['other']]);
    return virtualService(`${dice.one(['z', 'm', 'b'])}-${number}-${at}`, [host], http, { namespace, exportTo });
  });
  const requests = ['/', '/a', '/a/b', '/a/b/c', '/b', '/c', '/?q=1', '/a/b?q=1'].map((target) => ({
    method: dice.one(['GET', 'GET', 'POST']), target, host, secure: dice.chance(0.2), headers: dice.chance(0.3) ? [['x-a', 'one']] : [],
  }));
  return { name: 'order', services, requests };
}

function rewriting(dice, host, number) {
  const http = dice.times(1, 3, () => rewrites(dice, forwards(dice)));
  const services = [virtualService(`rewrite-${number}`, [host], http)];
  return { name: 'rewrite', services, requests: dice.times(8, 8, () => requestFor(dice, services, host)) };
}

function redirecting(dice, host, number) {
  const http = dice.times(1, 2, () => redirects(dice));
  const services = [virtualService(`redirect-${number}`, [host], http)];
  const requests = dice.times(8, 8, () => {
    const request = requestFor(dice, services, host);
    return { ...request, secure: dice.chance(0.4), host: dice.one([host, `${host}:80`, `${host}:443`, `${host}:8080`, host.toUpperCase()]) };
  });
  return { name: 'redirect', services, requests };
}

function editing(dice, host, number) {
  const entry = { route: [destination(dice.one(SERVICES))], headers: headerEdits(dice) };
  if (dice.chance(0.4)) entry.route[0].headers = headerEdits(dice);
  if (dice.chance(0.2)) entry.rewrite = { authority: 'rewritten.example' };
  const services = [virtualService(`headers-${number}`, [host], [entry])];
  const requests = dice.times(4, 4, () => ({
    method: dice.one(['GET', 'HEAD', 'POST']), target: '/x', host, headers: [['x-a', 'sent'], ['x-b', 'first'], ['x-b', 'second'], ['X-Mixed-Case', 'Kept']],
  }));
  return { name: 'headers', services, requests };
}

/** Which virtual host answers. */
function hosting(dice, host, number) {
  const names = [host, `a.${host}`, `*.${host}`, `*.b.${host}`, `c.b.${host}`].filter(() => dice.chance(0.6));
  const services = names.map((name, at) => virtualService(`host-${number}-${at}`, [name], [
    { match: [{ uri: { prefix: '/narrow' } }, { uri: { prefix: `/${at % 2}` } }], ...forwards(dice) },
    ...dice.chance(0.5) ? [forwards(dice)] : [],
  ]));
  const asked = [host, `a.${host}`, `x.${host}`, `x.b.${host}`, `c.b.${host}`, `b.${host}`, `x.y.b.${host}`, `not${host}`, 'one.narrow.test', 'two.narrow.test',
    'three.narrow.test', 'wide.narrow.test', 'x.wide.narrow.test', '127.0.0.1', '[::1]'];
  const spell = (name) => dice.one([name, name, name.toUpperCase(), `${name}:80`, `${name}:12345`, name.replace(/^./, (letter) => letter.toUpperCase())]);
  const requests = dice.times(10, 10, () => ({ method: 'GET', target: dice.one(['/', '/0', '/1', '/star/x', '/narrow/x']), host: spell(dice.one(asked)) }));
  return { name: 'host', services, requests };
}

function pathRoutes() {
  return [
    { match: [{ uri: { prefix: '/admin' } }], route: [destination('a')] },
    { match: [{ uri: { prefix: '/app/' } }], route: [destination('b')] },
    { match: [{ uri: { exact: '/app' } }], route: [destination('c')] },
    { route: [destination('d')] },
  ];
}
