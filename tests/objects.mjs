// Kubernetes objects as tests need them most, and the text of a manifest that holds some.

/** The manifest of these objects; JSON is YAML too. */
export const manifest = (...objects) => objects.map((object) => `${JSON.stringify(object)}\n`).join('---\n');

/** A `Gateway` that selects the ingress gateway; each server is `[port, protocol, hosts, tls]`. */
export const gateway = (namespace, name, ...servers) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'Gateway',
  metadata: { name, namespace },
  spec: {
    selector: { istio: 'ingressgateway' },
    servers: servers.map(([number, protocol, hosts, tls], at) => ({ port: { number, name: `${protocol.toLowerCase()}-${at}`, protocol }, hosts, ...tls && { tls } })),
  },
});

/** A `VirtualService` for every host unless `hosts` are named. */
export const virtualService = (namespace, name, { hosts = ['*'], ...spec }) => ({
  apiVersion: 'networking.istio.io/v1', kind: 'VirtualService', metadata: { name, namespace }, spec: { hosts, ...spec },
});

/** An entry of `http` that sends everything below `prefix` to one port of a Service. */
export const prefixTo = (prefix, host, number = 80, rest = {}) => ({
  match: [{ uri: { prefix } }], ...rest, route: [{ destination: { host, port: { number } } }],
});

/** A `Service` with one port; `port` is a number or more about it. */
export const service = (namespace, name, protocol, port = 80) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: { selector: { app: name }, ports: [{ name: protocol, ...(typeof port === 'number' ? { port } : port) }] },
});

/** An Istio `AuthorizationPolicy`. */
export const authorizationPolicy = (namespace, name, spec) => ({
  apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata: { name, namespace }, spec,
});

/** A `Secret` of texts. */
export const secret = (namespace, name, stringData, type = 'Opaque') => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, type, stringData });

/** The `Secret` of a certificate `{ cert, key }`. */
export const tlsSecret = (namespace, name, { cert, key }) => secret(namespace, name, { 'tls.crt': cert, 'tls.key': key }, 'kubernetes.io/tls');

/** A `ConfigMap`. */
export const configMap = (namespace, name, data) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data });

/** A model of the sample of KServe. */
export const inferenceService = (namespace, name) => ({
  apiVersion: 'serving.kserve.io/v1beta1',
  kind: 'InferenceService',
  metadata: { name, namespace },
  spec: { predictor: { model: { modelFormat: { name: 'sklearn' }, storageUri: 'gs://kfserving-examples/models/sklearn/1.0/model' } } },
});
