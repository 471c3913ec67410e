// Where doorward means to answer otherwise than Envoy, and why. Each has to be met by some case, or it is out of date.

/** Request headers that only one of the two adds or that hold its own words; never compared. */
export const OWN_REQUEST_HEADERS = new Set([
  // Made anew for each request, so they differ by nature.
  'x-request-id', 'traceparent',
  // For a client on loopback Envoy writes an address of the machine instead.
  'x-forwarded-for', 'x-envoy-external-address',
  // doorward tells applications the host that the browser used; Istio does so only on demand, and Envoy under a name of
  // its own when the route rewrites the host.
  'x-forwarded-host', 'x-envoy-original-host',
  // Per connection.
  'connection',
]);

/** Bytes that no URL may hold and that doorward's HTTP library does not take. */
const NO_URL = /["<>`]/;

const without = (headers, name) => headers.filter((line) => !line.startsWith(`${name}: `));
const isSame = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** Whether both saw the same but for the target and the headers of `names`. */
function onlyDiffer(envoy, doorward, names, { target = false } = {}) {
  if (!envoy.seen || !doorward.seen) return false;
  const rest = ({ status, seen, answered }) => ({ status, answered, ...seen, target: target ? '' : seen.target, headers: names.reduce(without, seen.headers) });
  return isSame(rest(envoy), rest(doorward));
}

/** A path in the normal form of the least mode, written from its definition. */
function resolved(target) {
  const [path, ...query] = target.split('?');
  const segments = [];
  const all = path.replaceAll('\\', '/').split('/').slice(1);
  for (const [at, segment] of all.entries()) {
    const name = segment.split(';')[0];
    const last = at === all.length - 1;
    if (name === '..') segments.pop();
    if (name !== '.' && name !== '..') segments.push(segment);
    else if (last) segments.push('');
  }
  return [`/${segments.join('/')}`, ...query].join('?');
}

/** The intended differences: `{ name, why, holds({ request, envoy, doorward }) }`. */
export const DIFFERENCES = [
  {
    name: 'a zero byte is refused in every mode',
    why: 'with path normalisation off Envoy passes `%00` on; nothing that an application does with it is wanted',
    holds: ({ request, doorward }) => request.mode === 'NONE' && request.target.includes('%00') && doorward.status === 400,
  },
  {
    name: 'bytes that no URL may hold are refused',
    why: 'RFC 3986 has no place for them; the HTTP library answers 400 where Envoy escapes them or passes them on',
    holds: ({ request, doorward }) => NO_URL.test(request.target) && doorward.status === 400,
  },
  {
    name: 'a path of slashes only becomes one slash',
    why: 'Envoy leaves two of them even when it merges slashes, so that a rule for `/` misses it',
    holds: ({ envoy, doorward }) => envoy.seen?.target.split('?')[0] === '//' && doorward.seen?.target.split('?')[0] === '/',
  },
  {
    name: 'dots before a parameter are dots however they are spelled',
    why: 'Envoy looks for `..;` before it decodes and before `\\` becomes `/`, so that `%2e%2e;` comes out as `..;`',
    holds: ({ request, envoy, doorward }) => (/%2e;|\.;[^/]*\\|(\\|%5c)\.{1,2};/i.test(request.target)
      && envoy.seen && doorward.seen && envoy.seen.target !== doorward.seen.target && resolved(doorward.seen.target) === doorward.seen.target),
  },
  {
    name: 'a rewritten path is normalised once more, and begins with a slash',
    why: 'what a prefix was cut off must not hide dot segments from the rules of the destination',
    holds: ({ request, envoy, doorward }) => {
      if (!request.group.startsWith('rewrite') || !onlyDiffer(envoy, doorward, ['x-envoy-original-path'], { target: true })) return false;
      const whole = envoy.seen.target.startsWith('/') ? envoy.seen.target : `/${envoy.seen.target}`;
      return envoy.seen.target !== doorward.seen.target && resolved(whole) === doorward.seen.target;
    },
  },
  {
    name: 'a rewrite that changes nothing leaves no trace',
    why: 'Envoy adds `x-envoy-original-path` even when the path stays what it is; nobody learns anything from it',
    holds: ({ envoy, doorward }) => onlyDiffer(envoy, doorward, ['x-envoy-original-path']) && envoy.seen.headers.includes(`x-envoy-original-path: ${envoy.seen.target}`),
  },
  {
    name: 'hop-by-hop and identity headers do not pass',
    why: '`proxy-*` is for one hop, who the user is only doorward says, and what folds to the name of such a header is one',
    holds: ({ request, envoy, doorward }) => onlyDiffer(envoy, doorward, request.headers?.map(([name]) => name) ?? [])
      && doorward.seen.headers.every((line) => envoy.seen.headers.includes(line)) && request.group.startsWith('stripped'),
  },
  {
    name: 'cookies come as one header',
    why: 'RFC 6265 §5.4: servers of HTTP/1.1 expect one `Cookie`',
    holds: ({ envoy, doorward }) => onlyDiffer(envoy, doorward, ['cookie'])
      && envoy.seen.headers.filter((line) => line.startsWith('cookie: ')).map((line) => line.slice(8)).join('; ') === doorward.seen.headers.find((line) => line.startsWith('cookie: '))?.slice(8),
  },
];
