// Request targets that proxies read in different ways.

/** Written by hand: the inputs of Istio's own table, and what else has fooled proxies. */
export const PATH_INPUTS = [
  '/app/../admin', '/app/%2E./admin', '/app\\admin', '/app//', '/app//../admin', '/app//../../admin', '/app/\\/\\/\\admin',
  '/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\\abc', '/app/%2f', '/xyz%30..//abc', '/%2Fapp%5cadmin%5Cabc', '/%c0%2fadmin', '/%252e%252e/admin',
  '/.../admin', '/..;/admin', '/%c0%ae%c0%ae/admin', '/app#foo', '/admin%00', '/admin;a=b/xyz', '/ADMIN', '/', '//', '///', '/.', '/..', '/../', '/./',
  '/app/.', '/app/..', '/app/./', '/app/../', '/app/./admin', '/./admin', '//admin', '/app/%2e%2e/admin', '/app/.%2e/admin', '/app/%2e%2E/%61dmin',
  '/%61%64%6d%69%6e', '/app/%7Euser', '/app/%7euser', '/app?x=/../admin', '/app?x=%2e%2e', '/app?', '/?', '/app?a=b?c=d', '/app?x=1#frag', '/app#frag?x=1', '/#',
  '/app%20x', '/app%', '/app%2', '/app%zz', '/app%2g/x', '/app%%32%65', '/a%2', '/app/%25', '/app/%2525', '/%3f', '/app%3Fx=1', '/%23', '/app/%3b', '/app;/../admin',
  '/app/..%2fadmin', '/app/..%5cadmin', '/app/..\\admin', '\\admin', '/\\admin', '/app/a:b@c', '/app/!$&\'()*+,=', '/app/[x]', '/app/{x}', '/app/|', '/app/^', '/app/`',
  '/app/"x"', '/app/<x>', '/app/\xc3\xa9', '/app/\xe9', '/app/%C3%A9', '/app/\x7f', '/app/%7f', '/app/%ff', '/app/%80', '/app//a///b////c', '/app/./../../../../admin',
  '/app/..;/admin', '/app/..;x=1/admin', '/app/.;/admin', '/app/..;', '/app/..%3b/admin', '/app/%2e%2e;/admin', '/app/..;\\admin', '/app/a..;/admin', '/app/..;/..;/b',
  '/a%%32%65/b', '/a%%32x', '/a%2%65', '/a%%2%35', '/a%%%32%65', '/a/%%2e%2e/b',
  '/..%2f..%2fadmin', '/app/a/../b/../../admin', '/app/a/b/../../..', '/app/...', '/app/.hidden', '/app/..hidden', '/app/x.', '/app/x..', '/a/b/%2E', '/a/b/%2e%2E', '/app/%2E%2E',
  '/app/%41%5a%61%7A%30%39%2d%2e%5f%7e', '/app/%40%5B%60%7B%2F%3A', '/x?%2e%2e=1', '/x/?y', '/x//?y//z', '/x/%3F/../y', '/x/%2F../y', '/x%2F/../y', '/x%5C..%5Cy',
];

const PIECES = ['app', 'admin', 'a', 'B', '', '', '.', '..', '%2e', '%2E%2e', '.%2e', '%2f', '%5c', '%5C', '\\', ';x=1', '..;', '%41', '%61pp', '%7e', '%20', '%25', '%', '%4', '...', '~', 'x.y', '%c3%a9', '%30', '@', ':', '+'];

/** `count` targets put together from pieces. */
export function paths(dice, count) {
  return dice.times(count, count, () => {
    const pieces = dice.times(1, 6, () => dice.one(PIECES) + (dice.chance(0.3) ? dice.one(PIECES) : ''));
    return `/${pieces.join('/')}${dice.one(['', '', '', '/', '?q=a/../b', '?', '#f'])}`;
  });
}
