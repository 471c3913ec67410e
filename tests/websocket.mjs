// As much of RFC 6455 as an echo needs: the handshake key, text frames, close.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connectTls } from './wire.mjs';

const CLOSE = 8;

/** The `Sec-WebSocket-Accept` that answers a key (RFC 6455 §4.2.2). */
export function acceptKey(key) {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

/** One final text frame; a client masks its frames. */
export function textFrame(text, { masked = false, opcode = 1 } = {}) {
  const payload = Buffer.from(text);
  const length = payload.length < 126
    ? Buffer.from([payload.length])
    : Buffer.from([126, payload.length >> 8, payload.length & 255]);
  if (!masked) return Buffer.concat([Buffer.from([0x80 | opcode]), length, payload]);
  const mask = randomBytes(4);
  length[0] |= 0x80;
  return Buffer.concat([Buffer.from([0x80 | opcode]), length, mask, payload.map((byte, at) => byte ^ mask[at % 4])]);
}

/** Cuts a byte stream into frames. */
export class Frames {
  #left = Buffer.alloc(0);
  constructor(onText, onClose) {
    this.onText = onText;
    this.onClose = onClose;
  }

  take(chunk) {
    this.#left = Buffer.concat([this.#left, chunk]);
    for (;;) {
      const bytes = this.#left;
      if (bytes.length < 2) return;
      let start = 2;
      let length = bytes[1] & 127;
      if (length === 126) {
        if (bytes.length < 4) return;
        length = bytes.readUInt16BE(2);
        start = 4;
      }
      const mask = bytes[1] & 128 ? bytes.subarray(start, start + 4) : null;
      if (mask) start += 4;
      if (bytes.length < start + length) return;
      const payload = Buffer.from(bytes.subarray(start, start + length));
      if (mask) payload.forEach((byte, at) => { payload[at] = byte ^ mask[at % 4]; });
      this.#left = bytes.subarray(start + length);
      if ((bytes[0] & 15) === CLOSE) this.onClose();
      else this.onText(payload.toString());
    }
  }
}

/** Opens a WebSocket through the door; `status` is other than 101 when it was refused. */
export async function openWebSocket(door, path, headers = {}) {
  const socket = await connectTls(door);
  const key = randomBytes(16).toString('base64');
  const extra = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.write(
    `GET ${path} HTTP/1.1\r\nhost: ${door.host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n` +
    `sec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n${extra}\r\n`,
  );
  let head = Buffer.alloc(0);
  while (!head.includes('\r\n\r\n')) {
    const [chunk] = await once(socket, 'data');
    head = Buffer.concat([head, chunk]);
  }
  const end = head.indexOf('\r\n\r\n') + 4;
  const lines = head.subarray(0, end).toString().trimEnd().split('\r\n');
  const answered = new Map(lines.slice(1).map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
  const texts = [];
  const waiting = [];
  const frames = new Frames((text) => (waiting.length > 0 ? waiting.shift()(text) : texts.push(text)), () => {});
  socket.on('data', (chunk) => frames.take(chunk));
  const status = Number(lines[0].split(' ')[1]);
  if (status === 101) frames.take(head.subarray(end));
  return {
    status,
    headers: answered,
    accepted: answered.get('sec-websocket-accept') === acceptKey(key),
    send: (text) => socket.write(textFrame(text, { masked: true })),
    next: () => (texts.length > 0 ? Promise.resolve(texts.shift()) : new Promise((resolve) => waiting.push(resolve))),
    async close() {
      socket.end(textFrame('', { masked: true, opcode: CLOSE }));
      if (!socket.closed) await once(socket, 'close');
    },
  };
}
