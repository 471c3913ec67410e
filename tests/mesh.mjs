// A real Envoy that is set up as Istio would: what a gateway gets from `extensionProviders` of the mesh configuration, from
// `AuthorizationPolicy` and from `RequestAuthentication`. Nothing is picked by hand: fields that are not known here fail.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { plainGet, scratch } from './door.mjs';
import { freePort } from './ports.mjs';
import { askPython } from './python.mjs';
import { start } from './standing.mjs';

const TARGET = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../target', import.meta.url));
const ENVOY = process.env.ENVOY_BINARY ?? join(TARGET, 'peers-venv', 'bin', 'envoy');

/** What CUSTOM rules leave for the filter that asks. */
const CUSTOM_PREFIX = 'istio_ext_authz_';
const CUSTOM_POLICY = 'istio-ext-authz';

const typed = (name, type, config) => ({ name, typed_config: { '@type': `type.googleapis.com/envoy.extensions.filters.${type}`, ...config } });
const socket = (port) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

/** Names of headers: exact, `abc*`, `*abc`. */
const headerNames = (names) => names?.length > 0 && {
  patterns: names.map((name) => {
    if (name.endsWith('*')) return { prefix: name.slice(0, -1), ignore_case: true };
    if (name.startsWith('*')) return { suffix: name.slice(1), ignore_case: true };
    return { exact: name, ignore_case: true };
  }),
};

/** Only the pairs that are there. */
const given = (pairs) => Object.fromEntries(Object.entries(pairs).filter(([, value]) => value !== undefined && value !== false));

/** The mesh configuration among these objects. */
export async function meshOf(objects) {
  const { data } = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'istio');
  const file = join(scratch(), 'mesh.yaml');
  writeFileSync(file, data.mesh);
  return (await askPython('manifests.py', file))[0];
}

/**
 * The filter of one `envoyExtAuthzHttp` provider, which asks `cluster`. `always`: whatever CUSTOM policies say, as the
 * EnvoyFilters of old did.
 */
export function extAuthz(provider, cluster, { always = false } = {}) {
  const {
    service, port, timeout = '600s', pathPrefix, failOpen = false, statusOnError, includeRequestHeadersInCheck, includeHeadersInCheck,
    includeAdditionalHeadersInCheck = {}, includeRequestBodyInCheck, headersToUpstreamOnAllow, headersToDownstreamOnDeny, headersToDownstreamOnAllow, ...unknown
  } = provider.envoyExtAuthzHttp;
  assert.deepEqual(unknown, {}, 'fields of the provider that Istio would not know');
  assert.ok(service && port, 'a provider names a service and its port');
  const toCheck = headerNames(includeRequestHeadersInCheck?.length ? includeRequestHeadersInCheck : includeHeadersInCheck);
  const added = Object.entries(includeAdditionalHeadersInCheck).sort().map(([key, value]) => ({ key, value }));
  const answer = given({
    allowed_upstream_headers: headerNames(headersToUpstreamOnAllow),
    allowed_client_headers: headerNames(headersToDownstreamOnDeny),
    allowed_client_headers_on_success: headerNames(headersToDownstreamOnAllow),
  });
  const body = includeRequestBodyInCheck;
  return typed('envoy.filters.http.ext_authz', 'http.ext_authz.v3.ExtAuthz', given({
    transport_api_version: 'V3',
    http_service: given({
      path_prefix: pathPrefix,
      server_uri: { uri: `http://${service.split('/').at(-1)}`, cluster, timeout },
      authorization_request: added.length > 0 && { headers_to_add: added },
      authorization_response: Object.keys(answer).length > 0 && answer,
    }),
    allowed_headers: toCheck,
    failure_mode_allow: failOpen,
    status_on_error: statusOnError && { code: Number(statusOnError) },
    with_request_body: body && { max_request_bytes: body.maxRequestBytes, allow_partial_message: body.allowPartialMessage ?? false },
    filter_enabled_metadata: !always && {
      filter: 'envoy.filters.http.rbac',
      path: [{ key: `${CUSTOM_PREFIX}shadow_effective_policy_id` }],
      value: { string_match: { prefix: CUSTOM_POLICY } },
    },
  }));
}

/** A text of a policy: exact, `abc*`, `*abc`, `*`. */
function text(pattern) {
  if (pattern === '*') return { safe_regex: { regex: '.+' } };
  if (pattern.endsWith('*')) return { prefix: pattern.slice(0, -1) };
  if (pattern.startsWith('*')) return { suffix: pattern.slice(1) };
  return { exact: pattern };
}

const pathIs = (pattern) => ({ url_path: { path: text(pattern) } });
const hostIs = (pattern) => ({ header: { name: ':authority', string_match: { ...text(pattern), ignore_case: pattern !== '*' || undefined } } });
const methodIs = (pattern) => ({ header: { name: ':method', string_match: text(pattern) } });
const claim = (name, pattern) => ({ metadata: { filter: 'envoy.filters.http.jwt_authn', path: [{ key: 'payload' }, { key: name }], value: { string_match: text(pattern) } } });

/** `<iss>/<sub>`; the tests need only the one for everybody. */
function tokenOf(pattern) {
  assert.equal(pattern, '*', 'only `*` is known here');
  return { and_ids: { ids: [claim('iss', '*'), claim('sub', '*')] } };
}

const either = (kind, parts) => ({ [`or_${kind}`]: { [kind]: parts } });
const both = (kind, parts) => (parts.length === 0 ? { any: true } : { [`and_${kind}`]: { [kind]: parts } });

/** The parts of one operation or source: fields in the positive and, with `not`, in the negative. */
function conditions(kind, fields, known) {
  const parts = Object.entries(fields).map(([name, patterns]) => {
    const negative = /^not[A-Z]/.test(name);
    const bare = negative ? name[3].toLowerCase() + name.slice(4) : name;
    assert.ok(known[bare], `\`${name}\` is not known here`);
    const any = either(kind, patterns.map(known[bare]));
    return negative ? { [kind === 'rules' ? 'not_rule' : 'not_id']: any } : any;
  });
  return both(kind, parts);
}

/** `when` on a header of the request. */
function whenIs({ key, values, notValues }) {
  const name = /^request\.headers\[(.*)\]$/.exec(key)?.[1];
  assert.ok(name, `\`${key}\` is not known here`);
  const one = (pattern) => ({ header: pattern === '*' ? { name, present_match: true } : { name, string_match: text(pattern) } });
  const parts = [];
  if (values) parts.push(either('ids', values.map(one)));
  if (notValues) parts.push({ not_id: either('ids', notValues.map(one)) });
  return both('ids', parts);
}

/** Rules of the filter `rbac`. */
function rules(policies, nameOf) {
  const all = {};
  for (const { metadata, spec } of policies) {
    for (const [at, rule] of (spec.rules ?? []).entries()) {
      const operations = (rule.to ?? []).map(({ operation }) => conditions('rules', operation, { paths: pathIs, hosts: hostIs, methods: methodIs }));
      const sources = (rule.from ?? []).map(({ source }) => conditions('ids', source, { requestPrincipals: tokenOf }));
      all[nameOf(metadata, at)] = {
        permissions: [operations.length > 0 ? either('rules', operations) : { any: true }],
        principals: [both('ids', [...(sources.length > 0 ? [either('ids', sources)] : []), ...(rule.when ?? []).map(whenIs)])],
      };
    }
  }
  return all;
}

const rbac = (config) => typed('envoy.filters.http.rbac', 'http.rbac.v3.RBAC', config);
const isLabelled = (labels) => ({ spec }) => Object.entries(spec.selector?.matchLabels ?? {}).every(([name, value]) => labels[name] === value);

/**
 * The filters of a gateway with these labels, in Istio's order: CUSTOM, token rules, DENY, ALLOW.
 *
 * - `objects`: manifests; `provider`: the extension provider, `cluster`: where it is.
 * - `keysOf`: the key set of an issuer, as istiod fetches it.
 */
export function gatewayFilters({ objects, namespaces, labels, provider, cluster, keysOf }) {
  const kinds = ['AuthorizationPolicy', 'RequestAuthentication'];
  const here = objects.filter(({ kind, metadata }) => kinds.includes(kind) && namespaces.includes(metadata.namespace)).filter(isLabelled(labels));
  const policies = here.filter(({ kind }) => kind === 'AuthorizationPolicy');
  const of = (action) => policies.filter(({ spec }) => (spec.action ?? 'ALLOW') === action);
  const named = ({ namespace, name }, at) => `ns[${namespace}]-policy[${name}]-rule[${at}]`;
  for (const { spec } of of('CUSTOM')) assert.equal(spec.provider.name, provider.name);
  const custom = rules(of('CUSTOM'), (metadata, at) => `${CUSTOM_POLICY}-${named(metadata, at)}`);
  const filters = [
    rbac({ shadow_rules: { action: 'DENY', policies: custom }, shadow_rules_stat_prefix: CUSTOM_PREFIX }),
    extAuthz(provider, cluster),
  ];
  const tokens = here.filter(({ kind }) => kind === 'RequestAuthentication').flatMap(({ spec }) => spec.jwtRules);
  if (tokens.length > 0) filters.push(tokenFilter(tokens, keysOf));
  if (of('DENY').length > 0) filters.push(rbac({ rules: { action: 'DENY', policies: rules(of('DENY'), named) } }));
  // With an ALLOW policy, even one without rules, something has to allow.
  if (of('ALLOW').length > 0) filters.push(rbac({ rules: { action: 'ALLOW', policies: rules(of('ALLOW'), named) } }));
  return filters;
}

function tokenFilter(all, keysOf) {
  const providers = {};
  for (const [at, rule] of all.entries()) {
    const { issuer, audiences = [], fromHeaders = [{ name: 'Authorization', prefix: 'Bearer ' }], forwardOriginalToken = false, outputClaimToHeaders = [], jwks, jwksUri, ...unknown } = rule;
    assert.deepEqual(unknown, {}, 'fields of the token rule that are not known here');
    providers[`origins-${at}`] = {
      issuer,
      audiences,
      local_jwks: { inline_string: jwks ?? keysOf(jwksUri ?? issuer) },
      from_headers: fromHeaders.map(({ name, prefix }) => given({ name, value_prefix: prefix })),
      forward: forwardOriginalToken,
      payload_in_metadata: 'payload',
      claim_to_headers: outputClaimToHeaders.map(({ header, claim: name }) => ({ header_name: header, claim_name: name })),
    };
  }
  const any = Object.keys(providers).map((name) => ({ provider_name: name }));
  return typed('envoy.filters.http.jwt_authn', 'http.jwt_authn.v3.JwtAuthentication', {
    providers,
    rules: [{ match: { prefix: '/' }, requires: { requires_any: { requirements: [...any, { allow_missing: {} }] } } }],
    bypass_cors_preflight: true,
  });
}

/**
 * Runs Envoy.
 *
 * - `clusters`: ports on loopback by name.
 * - `listeners`: each `{ filters, routes, tls, port }`; `routes` are `[start of the path, cluster, whether nobody is asked
 *   there, what stands in place of the start]`.
 */
export async function openEnvoy({ clusters, listeners }) {
  const adminPort = await freePort();
  const ports = await Promise.all(listeners.map(({ port }) => port ?? freePort()));
  const unasked = { 'envoy.filters.http.ext_authz': { '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute', disabled: true } };
  const config = {
    admin: { address: socket(adminPort) },
    static_resources: {
      clusters: Object.entries(clusters).map(([name, port]) => ({
        name,
        type: 'STATIC',
        connect_timeout: '2s',
        load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: socket(port) } }] }] },
      })),
      listeners: listeners.map(({ filters, routes, tls }, at) => ({
        name: `listener-${at}`,
        address: socket(ports[at]),
        filter_chains: [given({
          transport_socket: tls && {
            name: 'envoy.transport_sockets.tls',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
              common_tls_context: { tls_certificates: [{ certificate_chain: { inline_string: tls.cert }, private_key: { inline_string: tls.key } }] },
            },
          },
          filters: [typed('envoy.filters.network.http_connection_manager', 'network.http_connection_manager.v3.HttpConnectionManager', {
            stat_prefix: `listener-${at}`,
            // As Istio's gateways do.
            use_remote_address: true,
            normalize_path: true,
            route_config: { virtual_hosts: [{
              name: 'all',
              domains: ['*'],
              routes: routes.map(([prefix, cluster, isUnasked, rewrite]) => given({
                match: { prefix },
                route: given({ cluster, prefix_rewrite: rewrite }),
                typed_per_filter_config: isUnasked && unasked,
              })),
            }] },
            http_filters: [...filters, typed('envoy.filters.http.router', 'http.router.v3.Router', {})],
          })],
        })],
      })),
    },
  };
  const file = join(scratch(), 'envoy.json');
  writeFileSync(file, JSON.stringify(config));
  const args = ['-c', file, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'error'];
  const process = await start(ENVOY, args, {}, () => plainGet(adminPort, '/ready').then(({ status }) => status === 200, () => false));
  return { ...process, port: ports[0], ports };
}
