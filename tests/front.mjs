// nginx in front of several doors: it asks them in turn, and another one where one does not answer.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { discard, scratch, until } from './door.mjs';

/** `port`: where; `pair`: certificate and key; `doors`: their HTTPS ports. */
export async function startFront({ port, pair, doors }) {
  const directory = scratch();
  const file = (name) => join(directory, name);
  writeFileSync(file('front.crt'), pair.cert);
  writeFileSync(file('front.key'), pair.key);
  const user = process.getuid() === 0 ? 'user root;\n' : '';
  writeFileSync(file('front.conf'), `${user}daemon off;
worker_processes 1;
pid ${file('pid')};
error_log ${file('error.log')} error;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${file('body')};
  proxy_temp_path ${file('proxy')};
  fastcgi_temp_path ${file('fastcgi')};
  uwsgi_temp_path ${file('uwsgi')};
  scgi_temp_path ${file('scgi')};
  upstream doors {
${doors.map((door) => `    server 127.0.0.1:${door} max_fails=0;`).join('\n')}
    keepalive 64;
  }
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${file('front.crt')};
    ssl_certificate_key ${file('front.key')};
    location / {
      proxy_pass https://doors;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_next_upstream error timeout;
    }
  }
}
`);
  const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  const child = spawn(process.env.NGINX ?? 'nginx', ['-p', directory, '-c', file('front.conf')], { env: environment, stdio: 'ignore' });
  await until('nginx', () => new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => { socket.end(); resolve(true); });
    socket.on('error', () => resolve(false));
  }));
  return {
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
      discard(directory);
    },
  };
}
