// What Istio makes of Gateways and VirtualServices for an Envoy at the ingress, as a static configuration. It shares
// nothing with doorward's compiler: two readings of the same rules, by which each can prove the other wrong.

const CLUSTER_DOMAIN = 'svc.cluster.local';
const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

/** The gateway that the manifests select. */
export const GATEWAY = { namespace: 'istio-system', labels: { app: 'istio-ingressgateway', istio: 'ingressgateway' } };

/**
 * A static configuration for the objects. `doors` are the listeners: `{ name, port, gatewayPort, tls, normalization }`;
 * `upstreams` says where each Service is: `{ 'a.apps.svc.cluster.local': port }`; `certificate` names two files.
 */
export function envoyConfig({ objects, doors, upstreams, certificate, adminPort }) {
  return {
    admin: { address: address(adminPort) },
    layered_runtime: {
      layers: [{
        name: 'static',
        static_layer: {
          'envoy.reloadable_features.http_reject_path_with_fragment': false,
          're2.max_program_size.error_level': 32768,
        },
      }],
    },
    static_resources: {
      listeners: doors.map((door) => listener(door, objects, certificate)),
      clusters: Object.entries(upstreams).map(([host, port]) => cluster(`outbound|80||${host}`, port)),
    },
  };
}

const address = (port) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

function cluster(name, port) {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '10s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }] },
  };
}

function listener(door, objects, certificate) {
  const manager = {
    '@type': HCM,
    codec_type: 'AUTO',
    stat_prefix: door.name,
    server_name: 'istio-envoy',
    use_remote_address: true,
    forward_client_cert_details: 'SANITIZE_SET',
    stream_idle_timeout: '0s',
    upgrade_configs: [{ upgrade_type: 'websocket' }],
    ...normalization(door.normalization),
    http_filters: [{ name: 'router', typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' } }],
    route_config: {
      name: door.name,
      ignore_port_in_host_matching: true,
      validate_clusters: false,
      max_direct_response_body_size_bytes: 1 << 20,
      virtual_hosts: virtualHosts(objects, door),
    },
  };
  const chain = { filters: [{ name: 'http', typed_config: manager }] };
  if (door.tls) {
    chain.transport_socket = {
      name: 'tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
        common_tls_context: { tls_certificates: [{ certificate_chain: { filename: certificate.chain }, private_key: { filename: certificate.key } }] },
      },
    };
  }
  return { name: door.name, address: address(door.port), filter_chains: [chain] };
}

function normalization(mode) {
  switch (mode) {
    case 'NONE': return { normalize_path: false, path_with_escaped_slashes_action: 'KEEP_UNCHANGED' };
    case 'MERGE_SLASHES': return { normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: 'KEEP_UNCHANGED' };
    case 'DECODE_AND_MERGE_SLASHES': return { normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD' };
    default: return { normalize_path: true, path_with_escaped_slashes_action: 'KEEP_UNCHANGED' };
  }
}

// --- Which routes stand on which host -------------------------------------------------------------------------------

const byName = (a, b) => compare(a.metadata.name, b.metadata.name) || compare(a.metadata.namespace, b.metadata.namespace);
const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

function virtualHosts(objects, door) {
  const gateways = objects.filter((object) => object.kind === 'Gateway').sort(byName);
  const services = objects.filter((object) => object.kind === 'VirtualService').sort(byName);
  const hosts = new Map();
  for (const gateway of gateways) {
    const gatewayName = `${gateway.metadata.namespace}/${gateway.metadata.name}`;
    for (const server of gateway.spec.servers) {
      if (server.port.number !== door.gatewayPort) continue;
      for (const service of visible(services, gatewayName)) {
        const routes = httpRoutes(service, gatewayName, door);
        if (routes.length === 0) continue;
        for (const name of intersection(serverHosts(server, gateway, service), service.spec.hosts.map((host) => fullHost(host, service)))) {
          hosts.set(name, [...hosts.get(name) ?? [], ...routes]);
        }
      }
    }
  }
  return [...hosts].map(([name, routes]) => ({
    name: `${name}:${door.gatewayPort}`,
    domains: [name],
    include_request_attempt_count: true,
    routes: [...routes.filter((route) => !isCatchAll(route)), ...routes.filter(isCatchAll)],
  }));
}

/** The VirtualServices of a gateway, the private ones first, then those exported by name, then the public ones. */
function visible(services, gatewayName) {
  const bound = services.filter((service) => (service.spec.gateways ?? []).some((name) => fullGateway(name, service) === gatewayName));
  const groups = [[], [], []];
  for (const service of bound) {
    const own = service.metadata.namespace;
    const to = (service.spec.exportTo ?? ['*']).map((name) => (name === '.' ? own : name));
    if (to.includes('*')) groups[2].push(service);
    else if (to.length === 1 && to[0] === own && own === GATEWAY.namespace) groups[0].push(service);
    else if (to.includes(GATEWAY.namespace)) groups[1].push(service);
  }
  return groups.flat();
}

const fullGateway = (name, service) => (name.includes('/') ? name : `${service.metadata.namespace}/${name}`);

const fullHost = (host, object) => (host.includes('.') || host.includes('*') ? host.toLowerCase() : `${host}.${object.metadata.namespace}.${CLUSTER_DOMAIN}`);

function serverHosts(server, gateway, service) {
  return server.hosts.flatMap((host) => {
    const [namespace, name] = host.includes('/') ? host.split('/') : ['*', host];
    const wanted = namespace === '.' ? gateway.metadata.namespace : namespace;
    return wanted === '*' || wanted === service.metadata.namespace ? [name.toLowerCase()] : [];
  });
}

function intersection(these, those) {
  const found = new Set();
  for (const a of these) {
    for (const b of those) {
      if (covers(a, b)) found.add(b);
      else if (covers(b, a)) found.add(a);
    }
  }
  return found;
}

function covers(pattern, name) {
  if (pattern === '*' || pattern === name) return true;
  return pattern.startsWith('*') && name.replace(/^\*/, '').endsWith(pattern.slice(1)) && name.length > pattern.length - 1;
}

// --- One VirtualService ---------------------------------------------------------------------------------------------

function httpRoutes(service, gatewayName, door) {
  const routes = [];
  for (const entry of service.spec.http) {
    for (const match of entry.match?.length ? entry.match : [undefined]) {
      if (!seen(match, service, gatewayName, door)) continue;
      const route = oneRoute(entry, match, service, door);
      routes.push(route);
      if (isCatchAll(route)) break;
    }
    if (!entry.match?.length || routes.some(isCatchAll)) break;
  }
  return routes;
}

function seen(match, service, gatewayName, door) {
  if (!match) return true;
  if (match.port && match.port !== door.gatewayPort) return false;
  if (match.gateways?.length) return match.gateways.some((name) => fullGateway(name, service) === gatewayName);
  const labels = Object.entries(match.sourceLabels ?? {}).every(([name, value]) => GATEWAY.labels[name] === value);
  return labels && (!match.sourceNamespace || match.sourceNamespace === GATEWAY.namespace);
}

function isCatchAll({ match }) {
  const anyPath = match.prefix === '/' || match.safe_regex?.regex === '.*';
  return anyPath && !match.headers?.length && !match.query_parameters?.length;
}

function oneRoute(entry, match, service, door) {
  const route = { match: routeMatch(match) };
  const edits = headerEdits(entry.headers);
  if (entry.redirect) {
    return { ...route, ...edits.lists, redirect: redirectAction(entry.redirect, door) };
  }
  if (entry.directResponse) {
    const { status, body } = entry.directResponse;
    return { ...route, ...edits.lists, direct_response: { status, body: body && { inline_string: body.string ?? atob(body.bytes) } } };
  }
  const action = { timeout: entry.timeout ?? '0s', retry_policy: { retry_on: 'connect-failure,refused-stream,unavailable,cancelled', num_retries: 2 } };
  let { authority } = edits;
  if (entry.rewrite) {
    const { uri, uriRegexRewrite, authority: host } = entry.rewrite;
    if (uriRegexRewrite) action.regex_rewrite = { pattern: { regex: uriRegexRewrite.match }, substitution: uriRegexRewrite.rewrite ?? '' };
    else if (uri) action.prefix_rewrite = uri;
    if (host) authority = host;
  }
  if (entry.route.length === 1) {
    const [only] = entry.route;
    action.cluster = clusterOf(only.destination, service);
    const own = headerEdits(only.headers);
    for (const [name, list] of Object.entries(own.lists)) edits.lists[name] = [...edits.lists[name] ?? [], ...list];
    authority ||= own.authority;
  } else {
    action.weighted_clusters = {
      clusters: entry.route.filter((one) => one.weight > 0).map((one) => {
        const own = headerEdits(one.headers);
        return {
          name: clusterOf(one.destination, service),
          weight: one.weight,
          ...own.lists,
          ...own.authority && { host_rewrite_literal: own.authority },
        };
      }),
    };
  }
  if (authority) action.host_rewrite_literal = authority;
  return { ...route, ...edits.lists, route: action };
}

// Every Service of the cases has one port, 80.
const clusterOf = ({ host, port }, service) => `outbound|${port?.number ?? 80}||${fullHost(host, service)}`;

function redirectAction({ uri, authority, scheme, port, derivePort, redirectCode }, door) {
  const action = { response_code: { 301: 'MOVED_PERMANENTLY', 302: 'FOUND', 303: 'SEE_OTHER', 307: 'TEMPORARY_REDIRECT', 308: 'PERMANENT_REDIRECT' }[redirectCode ?? 301] };
  if (authority) action.host_redirect = authority;
  if (uri) action.path_redirect = uri;
  if (scheme) action.scheme_redirect = scheme;
  let number = port ?? 0;
  if (derivePort === 'FROM_REQUEST_PORT') number = door.gatewayPort;
  const effective = scheme ?? (door.tls ? 'https' : 'http');
  if ((number === 80 && effective === 'http') || (number === 443 && effective === 'https')) number = 0;
  if (number) action.port_redirect = number;
  return action;
}

function headerEdits(headers) {
  const lists = {};
  const entries = (map) => Object.entries(map ?? {}).filter(([name]) => !isInternal(name)).sort(([a], [b]) => compare(a, b));
  const named = (map) => Object.entries(map ?? {}).find(([name]) => isHost(name))?.[1];
  for (const side of ['request', 'response']) {
    const { set, add, remove } = headers?.[side] ?? {};
    const changes = [
      ...entries(set).map(([key, value]) => ({ header: { key, value }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' })),
      ...entries(add).map(([key, value]) => ({ header: { key, value }, append_action: 'APPEND_IF_EXISTS_OR_ADD' })),
    ];
    const gone = (remove ?? []).filter((name) => !isInternal(name));
    if (changes.length) lists[`${side}_headers_to_add`] = changes;
    if (gone.length) lists[`${side}_headers_to_remove`] = gone;
  }
  return { lists, authority: named(headers?.request?.set) ?? named(headers?.request?.add) };
}

const isHost = (name) => name.toLowerCase() === 'host' || name.toLowerCase() === ':authority';
const isInternal = (name) => name.startsWith(':') || name.toLowerCase() === 'host';

// --- One match ------------------------------------------------------------------------------------------------------

function routeMatch(match) {
  if (!match) return { prefix: '/' };
  const { uri } = match;
  const path = !uri ? { prefix: '/' } : 'exact' in uri ? { path: uri.exact } : 'prefix' in uri ? { prefix: uri.prefix } : { safe_regex: { regex: uri.regex } };
  const headers = [
    ...Object.entries(match.headers ?? {}).map(([name, value]) => headerMatch(name, value)),
    ...Object.entries(match.withoutHeaders ?? {}).map(([name, value]) => ({
      ...headerMatch(name, value),
      invert_match: true,
      ...!isPresence(value) && { treat_missing_header_as_empty: true },
    })),
    ...['method', 'authority', 'scheme'].filter((name) => match[name]).map((name) => headerMatch(`:${name}`, match[name])),
  ];
  const query = Object.entries(match.queryParams ?? {}).map(([name, value]) => (
    isPresence(value) ? { name, present_match: true } : { name, string_match: stringMatch(value) }
  ));
  return {
    ...path,
    case_sensitive: !match.ignoreUriCase,
    ...headers.length && { headers },
    ...query.length && { query_parameters: query },
  };
}

const isPresence = (value) => Object.keys(value).length === 0 || value.regex === '*';

const headerMatch = (name, value) => (isPresence(value) ? { name, present_match: true } : { name, string_match: stringMatch(value) });

const stringMatch = (value) => ('regex' in value ? { safe_regex: { regex: value.regex } } : value);
