// The `fixtures/seeds/onprem` manifests made complete: `${…}` filled in, and around them the objects that the Helm charts of
// Istio, Dex and OAuth2 Proxy render from the values files of the same folder.

import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixture } from './door.mjs';

/** bcrypt of `12341234`, as the stock manifests publish it. */
const PASSWORD_HASH = '$2y$12$4K/VkmDd1q1Orb3xAt82zu8gk7Ad6ReFR4LCP9UeYE90NLiN9Df72';

/** Writes the tree for the host that browsers use (`address` or `address:port`) into `directory`. */
export function writeOnprem(directory, host) {
  const address = host.split(':')[0];
  const source = fixture('seeds/onprem');
  const filled = (name) => readFileSync(join(source, name), 'utf8')
    // A certificate names addresses, never ports.
    .replaceAll('${INGRESS_HOST}', name.includes('certificate') ? address : host)
    .replaceAll('${PWD_HASH}', () => PASSWORD_HASH);

  for (const name of readdirSync(source)) {
    if (name.endsWith('.yaml') && !name.endsWith('-values.yaml') && !name.includes('centraldashboard')) writeFileSync(join(directory, name), filled(name));
  }
  // Kustomize merges this one into the dashboard's own VirtualService, which has the namespace and the hosts.
  writeFileSync(
    join(directory, '20-virtualservice-centraldashboard.yaml'),
    filled('20-virtualservice-centraldashboard.yaml')
      .replace('  name: centraldashboard\n', '  name: centraldashboard\n  namespace: kubeflow\n')
      .replace('spec:\n', "spec:\n  hosts:\n  - '*'\n"),
  );

  const mesh = under(filled('istio-values.yaml'), 'meshConfig');
  const dex = under(filled('dex-values.yaml'), 'config');
  const proxy = filled('oauth2-proxy-values.yaml');
  const value = (name) => new RegExp(`^ +${name}: "([^"]*)"`, 'm').exec(proxy)[1];
  const objects = [
    ...istio(mesh),
    ...dexChart(dex),
    ...oauth2ProxyChart({
      id: value('clientID'),
      secret: value('clientSecret'),
      file: dedent(/configFile: \|-\n((?: {4}.*\n|\n)*)/.exec(proxy)[1]),
    }),
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'kubeflow', labels: { 'istio-injection': 'enabled' } } },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'centraldashboard', namespace: 'kubeflow' },
      spec: { selector: { app: 'centraldashboard' }, ports: [{ port: 80, protocol: 'TCP', targetPort: 8082 }] },
    },
  ];
  writeFileSync(join(directory, '30-charts.yaml'), objects.map((object) => `---\n${JSON.stringify(object, null, 2)}\n`).join(''));
}

/** The text below one top-level key of a YAML file, moved to the left margin. */
function under(text, key) {
  const lines = text.split('\n');
  const start = lines.indexOf(`${key}:`) + 1;
  const end = lines.findIndex((line, at) => at >= start && /^\S/.test(line));
  return dedent(lines.slice(start, end === -1 ? undefined : end).join('\n'));
}

function dedent(text) {
  const lines = text.split('\n');
  const margin = Math.min(...lines.filter((line) => line.trim()).map((line) => /^ */.exec(line)[0].length));
  return lines.map((line) => line.slice(margin)).join('\n');
}

const labels = (name) => ({ 'app.kubernetes.io/name': name, 'app.kubernetes.io/instance': name });
const base64 = (text) => Buffer.from(text).toString('base64');

function istio(mesh) {
  const selector = { app: 'istio-ingressgateway', istio: 'ingressgateway' };
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'istio-system' } },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ingress', labels: { 'istio-injection': 'enabled' } } },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'istio', namespace: 'istio-system', labels: { release: 'istiod' } },
      data: { meshNetworks: 'networks: {}', mesh: `defaultConfig:\n  discoveryAddress: istiod.istio-system.svc:15012\nenablePrometheusMerge: true\nrootNamespace: istio-system\ntrustDomain: cluster.local\n${mesh}` },
    },
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'istio-ingressgateway', namespace: 'ingress', labels: selector },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'istio-ingressgateway', namespace: 'ingress', labels: selector },
      spec: {
        selector: { matchLabels: selector },
        template: {
          metadata: { annotations: { 'inject.istio.io/templates': 'gateway', 'sidecar.istio.io/inject': 'true' }, labels: { ...selector, 'sidecar.istio.io/inject': 'true' } },
          spec: { serviceAccountName: 'istio-ingressgateway', containers: [{ name: 'istio-proxy', image: 'auto', ports: [{ containerPort: 15090, name: 'http-envoy-prom' }] }] },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'istio-ingressgateway', namespace: 'ingress', labels: selector },
      spec: { type: 'LoadBalancer', selector, ports: [{ name: 'http2', port: 80, targetPort: 80 }, { name: 'https', port: 443, targetPort: 443 }] },
    },
  ];
}

function dexChart(config) {
  return [
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'dex', namespace: 'auth', labels: labels('dex') }, type: 'Opaque', data: { 'config.yaml': base64(config) } },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'dex', namespace: 'auth', labels: labels('dex') },
      spec: { type: 'ClusterIP', selector: labels('dex'), ports: [{ name: 'http', port: 5556, targetPort: 'http' }, { name: 'telemetry', port: 5558, targetPort: 'telemetry' }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'dex', namespace: 'auth', labels: labels('dex') },
      spec: {
        selector: { matchLabels: labels('dex') },
        template: {
          metadata: { labels: labels('dex') },
          spec: {
            serviceAccountName: 'dex',
            containers: [{
              name: 'dex',
              image: 'ghcr.io/dexidp/dex:v2.45.0',
              args: ['dex', 'serve', '--web-http-addr', '0.0.0.0:5556', '--telemetry-addr', '0.0.0.0:5558', '/etc/dex/config.yaml'],
              ports: [{ name: 'http', containerPort: 5556 }, { name: 'telemetry', containerPort: 5558 }],
              volumeMounts: [{ name: 'config', mountPath: '/etc/dex', readOnly: true }],
            }],
            volumes: [{ name: 'config', secret: { secretName: 'dex' } }],
          },
        },
      },
    },
  ];
}

function oauth2ProxyChart({ id, secret, file }) {
  const from = (key) => ({ valueFrom: { secretKeyRef: { name: 'oauth2-proxy', key } } });
  return [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'oauth2-proxy', namespace: 'auth', labels: labels('oauth2-proxy') },
      type: 'Opaque',
      data: { 'client-id': base64(id), 'client-secret': base64(secret), 'cookie-secret': base64(randomBytes(16).toString('hex')) },
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'oauth2-proxy', namespace: 'auth', labels: labels('oauth2-proxy') }, data: { 'oauth2_proxy.cfg': file } },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'oauth2-proxy', namespace: 'auth', labels: labels('oauth2-proxy') },
      spec: { type: 'ClusterIP', selector: labels('oauth2-proxy'), ports: [{ name: 'http', port: 80, targetPort: 'http' }, { name: 'metrics', port: 44180, targetPort: 'metrics' }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'oauth2-proxy', namespace: 'auth', labels: labels('oauth2-proxy') },
      spec: {
        selector: { matchLabels: labels('oauth2-proxy') },
        template: {
          metadata: { labels: labels('oauth2-proxy') },
          spec: {
            serviceAccountName: 'oauth2-proxy',
            containers: [{
              name: 'oauth2-proxy',
              image: 'quay.io/oauth2-proxy/oauth2-proxy:v7.14.3',
              args: ['--http-address=0.0.0.0:4180', '--https-address=0.0.0.0:4443', '--metrics-address=0.0.0.0:44180', '--config=/etc/oauth2_proxy/oauth2_proxy.cfg'],
              env: [
                { name: 'OAUTH2_PROXY_CLIENT_ID', ...from('client-id') },
                { name: 'OAUTH2_PROXY_CLIENT_SECRET', ...from('client-secret') },
                { name: 'OAUTH2_PROXY_COOKIE_SECRET', ...from('cookie-secret') },
              ],
              ports: [{ name: 'http', containerPort: 4180 }, { name: 'metrics', containerPort: 44180 }],
              volumeMounts: [
                { name: 'configmain', mountPath: '/etc/oauth2_proxy/oauth2_proxy.cfg', subPath: 'oauth2_proxy.cfg' },
                { name: 'gateway-cert', mountPath: '/etc/gateway-cert/' },
              ],
            }],
            volumes: [
              { name: 'configmain', configMap: { name: 'oauth2-proxy', defaultMode: 420 } },
              { name: 'gateway-cert', secret: { secretName: 'gateway-cert' } },
            ],
          },
        },
      },
    },
  ];
}
