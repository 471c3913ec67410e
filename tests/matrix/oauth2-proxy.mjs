// What an Envoy that asks OAuth2 Proxy's stand-in makes of a request: the decision matrix for proxied paths, row by row.
//
// - `at`: the settings (SETTINGS below); `lists`: what the mesh shows and relays (LISTS below, `all` unless said).
// - `who`: nobody, ann (signed in), leaver (signed in, and not admitted any more), unknown (a cookie that no store knows), or
//   somebody with an `Authorization` of their own: machine, denied (of a domain that is not admitted), unverified, forged,
//   expired, elsewhere (for another audience), basic.
// - `ask`: method and target; `with`: headers besides.
// - `status`, `type`, `location`, `body`, `cookie` (of `Set-Cookie`): what the client gets. `false` is: none.
// - `app`: what reaches the application, of all that says who somebody is. Without it nothing may reach it. Every request
//   says of itself, in several spellings, that it is root: none of that may arrive.

const TEXT = 'text/plain; charset=utf-8';
const HTML = 'text/html; charset=utf-8';
const JSON_TYPE = 'application/json';

/** What applications are told of ann, of a machine. */
const ANN = {
  authorization: /^Bearer ey/, 'gap-auth': 'user@example.com', 'x-auth-request-user': /^C/, 'x-auth-request-email': 'user@example.com',
  'x-auth-request-groups': 'staff', 'x-auth-request-access-token': /./,
};
const MACHINE = {
  authorization: /^Bearer ey/, 'gap-auth': 'machine@example.com', 'x-auth-request-user': 'a-machine', 'x-auth-request-email': 'machine@example.com',
  'x-auth-request-groups': 'robots,arms', 'x-auth-request-preferred-username': 'the-machine', 'x-auth-request-access-token': /^ey/,
};
const KUBEFLOW_ANN = { authorization: /^Bearer ey/, 'x-auth-request-user': /^C/, 'x-auth-request-email': 'user@example.com', 'x-auth-request-groups': 'staff' };
/** Names that the mesh does not copy: what a client says of itself stays there, and no application may believe it. */
const UNLISTED = { 'gap-auth': 'root@example.com', 'x-auth-request-access-token': 'root' };
const NOBODY = {};

const FORBIDDEN = { status: 403, type: TEXT, body: 'Forbidden\n' };
const UNAUTHORIZED = { status: 401, type: JSON_TYPE, body: '{}', location: false, cookie: false, 'www-authenticate': false };
const NOT_ADMITTED = { status: 403, type: HTML, body: /Your account may not enter/, cookie: /^_oauth2_proxy=; .*Max-Age=0/ };
const PAGE = { status: 403, type: HTML, body: /<form[^>]*method="get" action="\/oauth2\/start"/, 'cache-control': /no-store/ };
const TO_ISSUER = { status: 302, location: /^\/dex\/auth\?client_id=.*&response_type=code/, cookie: /^_oauth2_proxy_.{8}_csrf=.*HttpOnly/, 'cache-control': /no-store/ };
/** The address that a page's form leads back to. */
const back = (target) => ({ ...PAGE, body: new RegExp(`name="rd" value="${target.replaceAll('&', '&#38;').replace(/[.?[\]]/g, '\\$&')}"`) });

/** Settings, as flags besides those of all. */
export const SETTINGS = {
  button: [],
  straight: ['--skip-provider-button'],
  json: ['--force-json-errors'],
  strict: ['--bearer-token-login-fallback=false'],
  preflight: ['--skip-auth-preflight'],
  trusted: ['--trusted-ip=127.0.0.1'],
  proxying: [],
};

/** Settings of all. */
export const COMMON = [
  '--provider=oidc', '--scope=openid email profile groups', '--email-domain=example.com', '--api-route=/api/', '--api-route=[?]x=1$', '--skip-auth-route=GET=^/public',
  '--skip-jwt-bearer-tokens', '--set-xauthrequest', '--set-authorization-header', '--pass-access-token', '--cookie-secure=false', '--cookie-expire=24h',
  '--redirect-url=/oauth2/callback', '--relative-redirect-url', '--skip-oidc-discovery', '--login-url=/dex/auth', '--code-challenge-method=S256',
];

/** `envoyExtAuthzHttp`: everything; and Kubeflow's own. */
export const LISTS = {
  all: {
    includeRequestHeadersInCheck: ['authorization', 'cookie', 'accept', 'user-agent', 'sec-*', 'x-requested-with', 'x-auth-request-redirect', 'x-forwarded-uri'],
    headersToUpstreamOnAllow: ['authorization', 'gap-auth', 'x-auth-request-*'],
    headersToDownstreamOnAllow: ['set-cookie'],
  },
  kubeflow: {
    includeRequestHeadersInCheck: ['authorization', 'cookie'],
    headersToUpstreamOnAllow: ['authorization', 'path', 'x-auth-request-email', 'x-auth-request-groups', 'x-auth-request-user'],
    headersToDownstreamOnDeny: ['content-type', 'set-cookie'],
  },
};

export const ROWS = [
  // 1: an `Authorization` that proves nothing, where that is not overlooked.
  { row: 1, at: 'strict', who: 'basic', ask: 'GET /a', ...FORBIDDEN },
  { row: 1, at: 'strict', who: 'basic', ask: 'GET /public/a', ...FORBIDDEN },
  { row: 1, at: 'strict', who: 'forged', ask: 'GET /a', ...FORBIDDEN },
  { row: 1, at: 'strict', who: 'expired', ask: 'POST /a', ...FORBIDDEN },
  { row: 1, at: 'strict', who: 'elsewhere', ask: 'GET /api/x', ...FORBIDDEN },
  { row: 1, at: 'strict', who: 'machine', ask: 'GET /a', status: 200, app: MACHINE },
  { row: 1, at: 'strict', who: 'nobody', ask: 'GET /a', ...PAGE },
  { row: 1, at: 'strict', who: 'ann', ask: 'GET /a', status: 200, app: ANN },
  // Elsewhere it is overlooked, and what the client sent goes on where the path is exempt.
  { row: 1, at: 'button', who: 'basic', ask: 'GET /a', ...PAGE },
  { row: 1, at: 'button', who: 'basic', ask: 'GET /public/a', status: 200, app: { authorization: 'Basic dTpw' } },

  // 2: exempt.
  { row: 2, at: 'button', who: 'nobody', ask: 'GET /public/a?x=%2F', status: 200, app: NOBODY },
  { row: 2, at: 'button', who: 'nobody', ask: 'GET /public', lists: 'kubeflow', status: 200, app: NOBODY },
  { row: 2, at: 'button', who: 'nobody', ask: 'POST /public/a', ...PAGE },
  { row: 2, at: 'button', who: 'nobody', ask: 'GET /a/public', ...PAGE },
  { row: 2, at: 'button', who: 'nobody', ask: 'GET /public%2F..%2Fa', ...PAGE },
  { row: 2, at: 'button', who: 'nobody', ask: 'GET /a%23/public', ...PAGE },
  { row: 2, at: 'button', who: 'unknown', ask: 'GET /public/a', status: 200, app: NOBODY },
  { row: 2, at: 'button', who: 'ann', ask: 'GET /public/a', status: 200, app: ANN },
  // Somebody who is not admitted passes as nobody there, and keeps the session.
  { row: 2, at: 'trusted', who: 'leaver', ask: 'GET /a', status: 200, cookie: false, app: NOBODY },
  { row: 2, at: 'trusted', who: 'nobody', ask: 'DELETE /a', status: 200, app: NOBODY },
  { row: 2, at: 'trusted', who: 'ann', ask: 'GET /a', status: 200, app: ANN },
  { row: 2, at: 'preflight', who: 'nobody', ask: 'OPTIONS /a', status: 200, app: NOBODY },
  { row: 2, at: 'preflight', who: 'nobody', ask: 'GET /a', ...PAGE },
  { row: 2, at: 'button', who: 'nobody', ask: 'OPTIONS /a', ...PAGE },
  // What the query wants holds for whoever is known, there too.
  { row: 2, at: 'button', who: 'ann', ask: 'GET /public/a?allowed_groups=none', ...FORBIDDEN },
  { row: 2, at: 'button', who: 'nobody', ask: 'GET /public/a?allowed_groups=none', status: 200, app: NOBODY },
  // What says which target is meant is believed from nobody.
  { row: 2, at: 'button', who: 'nobody', ask: 'GET /a', with: { 'x-forwarded-uri': '/public/a' }, ...PAGE },

  // 3: signed in, and not admitted.
  { row: 3, at: 'button', who: 'leaver', ask: 'GET /a', ...NOT_ADMITTED },
  { row: 3, at: 'straight', who: 'leaver', ask: 'GET /a', lists: 'kubeflow', ...NOT_ADMITTED },
  { row: 3, at: 'json', who: 'leaver', ask: 'GET /a', status: 403, type: JSON_TYPE, body: '{}', cookie: /^_oauth2_proxy=; .*Max-Age=0/ },
  { row: 3, at: 'proxying', who: 'leaver', ask: 'POST /api/x', ...NOT_ADMITTED },
  { row: 3, at: 'button', who: 'denied', ask: 'GET /a', status: 403, type: HTML, body: /Your account may not enter/ },
  { row: 3, at: 'json', who: 'denied', ask: 'GET /api/x', status: 403, type: JSON_TYPE, body: '{}' },

  // 4: admitted, and not what the query wants.
  { row: 4, at: 'button', who: 'ann', ask: 'GET /a?allowed_groups=none', ...FORBIDDEN },
  { row: 4, at: 'button', who: 'ann', ask: 'GET /a?allowed_groups=none,staff', status: 200, app: ANN },
  { row: 4, at: 'button', who: 'ann', ask: 'GET /a?allowed_groups=none&allowed_groups=staff', status: 200, app: ANN },
  { row: 4, at: 'button', who: 'ann', ask: 'GET /a?allowed_emails=other@example.com', ...FORBIDDEN },
  { row: 4, at: 'button', who: 'ann', ask: 'GET /a?allowed_emails=user@example.com', status: 200, app: ANN },
  { row: 4, at: 'button', who: 'ann', ask: 'GET /a?allowed_email_domains=example.org', ...FORBIDDEN },
  { row: 4, at: 'button', who: 'ann', ask: 'GET /a?allowed_email_domains=*.com', status: 200, app: ANN },
  { row: 4, at: 'button', who: 'ann', ask: 'GET /a?allowed_email_domains=*', ...FORBIDDEN },
  { row: 4, at: 'button', who: 'ann', ask: 'GET /a?allowed_groups=staff&allowed_emails=other@example.com', ...FORBIDDEN },
  { row: 4, at: 'json', who: 'machine', ask: 'GET /a?allowed_groups=staff', ...FORBIDDEN },
  { row: 4, at: 'json', who: 'machine', ask: 'GET /a?allowed_groups=arms', status: 200, app: MACHINE },
  { row: 4, at: 'button', who: 'nobody', ask: 'GET /a?allowed_groups=none', ...PAGE },

  // 5: signed in and fine, whatever the method, the path, the settings.
  ...Object.keys(SETTINGS).filter((at) => at !== 'proxying').flatMap((at) => [
    { row: 5, at, who: 'ann', ask: 'GET /a/b%20c?d=e%2Ff', status: 200, cookie: false, app: ANN },
    { row: 5, at, who: 'ann', ask: 'GET /a', lists: 'kubeflow', status: 200, app: { ...KUBEFLOW_ANN, ...UNLISTED } },
    { row: 5, at, who: 'ann', ask: 'POST /api/x?x=1', with: { accept: 'application/json' }, status: 200, app: ANN },
    { row: 5, at, who: 'ann', ask: 'OPTIONS /a', status: 200, app: ANN },
  ]),
  { row: 5, at: 'button', who: 'machine', ask: 'PUT /a', status: 200, app: MACHINE },
  { row: 5, at: 'straight', who: 'machine', ask: 'GET /api/a', lists: 'kubeflow', status: 200, app: { ...UNLISTED, 'x-auth-request-preferred-username': 'root', authorization: MACHINE.authorization, 'x-auth-request-user': 'a-machine', 'x-auth-request-email': 'machine@example.com', 'x-auth-request-groups': 'robots,arms' } },

  // 6: nobody, and a script asks.
  { row: 6, at: 'json', who: 'nobody', ask: 'GET /a', ...UNAUTHORIZED },
  { row: 6, at: 'json', who: 'nobody', ask: 'POST /a', lists: 'kubeflow', ...UNAUTHORIZED },
  { row: 6, at: 'json', who: 'unknown', ask: 'GET /a', ...UNAUTHORIZED },
  { row: 6, at: 'button', who: 'nobody', ask: 'GET /a', with: { accept: 'application/json' }, ...UNAUTHORIZED },
  { row: 6, at: 'button', who: 'nobody', ask: 'GET /a', with: { accept: 'text/html, application/json' }, ...UNAUTHORIZED },
  { row: 6, at: 'straight', who: 'nobody', ask: 'GET /a', with: { accept: 'application/json' }, ...UNAUTHORIZED },
  { row: 6, at: 'button', who: 'nobody', ask: 'GET /a', with: { accept: 'application/json;q=0.9' }, ...PAGE },
  { row: 6, at: 'button', who: 'nobody', ask: 'GET /a', with: { accept: 'application/*, */*' }, ...PAGE },
  // The mesh does not show it.
  { row: 6, at: 'button', who: 'nobody', ask: 'GET /a', lists: 'kubeflow', with: { accept: 'application/json' }, ...PAGE, 'cache-control': false },
  { row: 6, at: 'button', who: 'nobody', ask: 'GET /jupyter/api/x', lists: 'kubeflow', ...UNAUTHORIZED },
  { row: 6, at: 'straight', who: 'nobody', ask: 'DELETE /api/', ...UNAUTHORIZED },
  { row: 6, at: 'straight', who: 'nobody', ask: 'GET /a?x=1', ...UNAUTHORIZED },
  { row: 6, at: 'button', who: 'nobody', ask: 'GET /a?x=12', ...PAGE },
  { row: 6, at: 'button', who: 'nobody', ask: 'GET /a%2Fapi/x', ...PAGE },
  { row: 6, at: 'button', who: 'forged', ask: 'GET /api/x', ...UNAUTHORIZED },
  { row: 6, at: 'button', who: 'expired', ask: 'GET /api/x', ...UNAUTHORIZED },
  { row: 6, at: 'button', who: 'unverified', ask: 'GET /api/x', ...UNAUTHORIZED },

  // 7: nobody, and no button.
  { row: 7, at: 'straight', who: 'nobody', ask: 'GET /a?b=c', ...TO_ISSUER },
  { row: 7, at: 'straight', who: 'nobody', ask: 'POST /a', ...TO_ISSUER },
  { row: 7, at: 'straight', who: 'nobody', ask: 'DELETE /a', ...TO_ISSUER },
  { row: 7, at: 'straight', who: 'unknown', ask: 'GET /a', ...TO_ISSUER },
  { row: 7, at: 'straight', who: 'expired', ask: 'GET /a', ...TO_ISSUER },
  { row: 7, at: 'straight', who: 'basic', ask: 'GET /a', ...TO_ISSUER },
  { row: 7, at: 'straight', who: 'nobody', ask: 'GET /a', lists: 'kubeflow', ...TO_ISSUER, 'cache-control': false },

  // 8: nobody, otherwise.
  { row: 8, at: 'button', who: 'nobody', ask: 'GET /a?b=c&d=%2F', ...back('/a?b=c&d=%2F'), cookie: false },
  { row: 8, at: 'button', who: 'nobody', ask: 'GET /a?next=https://other.example/', ...back('/a?next=https://other.example/') },
  { row: 8, at: 'button', who: 'nobody', ask: 'GET /a', with: { 'x-auth-request-redirect': '/b' }, ...back('/b') },
  { row: 8, at: 'button', who: 'nobody', ask: 'GET /a', with: { 'x-auth-request-redirect': 'https://evil.example/' }, ...back('/a') },
  { row: 8, at: 'button', who: 'nobody', ask: 'GET /oauth2', ...PAGE },
  { row: 8, at: 'button', who: 'nobody', ask: 'POST /a', ...PAGE },
  // Envoy itself leaves the type out where it sends no body.
  { row: 8, at: 'button', who: 'nobody', ask: 'HEAD /a', ...PAGE, type: false, body: '' },
  { row: 8, at: 'button', who: 'nobody', ask: 'GET /a', lists: 'kubeflow', ...PAGE, 'cache-control': false },
  { row: 8, at: 'button', who: 'unknown', ask: 'GET /a', ...PAGE, cookie: /^_oauth2_proxy=; .*Max-Age=0/ },
  { row: 8, at: 'button', who: 'unknown', ask: 'GET /a', lists: 'kubeflow', ...PAGE, cookie: /^_oauth2_proxy=; .*Max-Age=0/, 'cache-control': false },
  { row: 8, at: 'button', who: 'unverified', ask: 'GET /a', ...PAGE },
  { row: 8, at: 'button', who: 'elsewhere', ask: 'GET /a', ...PAGE },

  // 9: may pass, and there is nowhere to go. A failure of the one that is asked is 403 from Envoy.
  { row: 9, at: 'proxying', who: 'ann', ask: 'GET /nothing', status: 404, type: TEXT, body: '404 page not found\n' },
  { row: 9, at: 'proxying', who: 'ann', ask: 'GET /dead/x', status: 403, type: false, body: '' },
  { row: 9, at: 'proxying', who: 'nobody', ask: 'GET /nothing', ...PAGE },

  // Before all of that: paths are cleaned, probes and the program's own pages are answered. Envoy takes 200 for leave to
  // pass, and so does every gateway that has no route of its own to them.
  { row: 'paths', at: 'button', who: 'nobody', ask: 'GET //a//b?c=//d', status: 301, location: '/a/b?c=//d' },
  { row: 'paths', at: 'button', who: 'ann', ask: 'GET /a%2F%2Fb?c', status: 301, location: '/a/b?c' },
  { row: 'pages', at: 'button', who: 'nobody', ask: 'GET /oauth2/auth', status: 401, type: TEXT, body: 'Unauthorized\n', 'cache-control': false },
  { row: 'pages', at: 'button', who: 'ann', ask: 'GET /oauth2/auth', status: 202, body: '', 'gap-auth': 'user@example.com' },
  { row: 'pages', at: 'button', who: 'ann', ask: 'GET /oauth2/auth?allowed_groups=none', ...FORBIDDEN },
  { row: 'pages', at: 'button', who: 'nobody', ask: 'GET /oauth2/userinfo', status: 401, type: /^text\/plain/ },
  { row: 'pages', at: 'button', who: 'nobody', ask: 'GET /oauth2/start?rd=/a', ...TO_ISSUER },
  { row: 'pages', at: 'button', who: 'nobody', ask: 'GET /oauth2/callback?error=access_denied', status: 403, type: HTML, body: /access_denied/ },
  { row: 'pages', at: 'button', who: 'nobody', ask: 'GET /oauth2/callback?code=a&state=b:/', status: 403, type: HTML },
  { row: 'pages', at: 'button', who: 'nobody', ask: 'GET /oauth2/sign_out?rd=//evil.example', status: 302, location: '/' },
];
