/** The application behind every proxy: one nginx worker that answers fixed bodies, on HTTP/1.1 and on h2c. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Running, startProgram, untilListening } from './programs.ts'

export const BODIES = { '100 B': 100, '10 KiB': 10 * 1024, '1 MiB': 1024 * 1024 } as const
export type Body = keyof typeof BODIES

export const ORIGIN_PORT = 8080
export const ORIGIN_H2_PORT = 8082

export const pathOf = (body: Body): string => `/b${BODIES[body]}`
/** For the soak: an error, and a connection that ends where an answer should begin. */
export const FAIL_PATH = '/fail'
export const HANG_UP_PATH = '/hang-up'
/** Answers a unary call: one message and `grpc-status` in the trailers. */
export const GRPC_PATH = '/bench.Echo/Unary'

export async function startOrigin(nginx: string, directory: string, addresses: readonly string[]): Promise<Running> {
  const root = join(directory, 'origin')
  await mkdir(root, { recursive: true })
  for (const size of Object.values(BODIES)) await writeFile(join(root, `b${size}`), Buffer.alloc(size, 'x'))
  const path = join(directory, 'nginx.conf')
  await writeFile(path, configOf(directory, root, addresses))
  const running = startProgram({ name: 'origin', program: nginx, args: ['-c', path, '-p', directory, '-e', 'stderr'] })
  for (const address of addresses) await untilListening(address, ORIGIN_PORT)
  return running
}

function configOf(directory: string, root: string, addresses: readonly string[]): string {
  const listen = addresses.flatMap((address) => [
    `listen ${address}:${ORIGIN_PORT} backlog=4096;`,
    `listen ${address}:${ORIGIN_H2_PORT} http2 backlog=4096;`,
  ])
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${join(directory, kind)};`,
  )
  // Started by root it would become nobody, who may not read what it serves.
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  return `
daemon off;
${user}
worker_processes 1;
pid ${join(directory, 'nginx.pid')};
error_log stderr warn;
events { worker_connections 8192; }
http {
  ${temporary.join('\n  ')}
  access_log off;
  log_not_found off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  keepalive_timeout 120s;
  open_file_cache max=16;
  default_type text/plain;
  server {
    ${listen.join('\n    ')}
    root ${root};
    location = ${pathOf('100 B')} { return 200 "${'x'.repeat(BODIES['100 B'])}"; }
    location = ${FAIL_PATH} { return 503 "no"; }
    location = ${HANG_UP_PATH} { return 444; }
    location = ${GRPC_PATH} {
      default_type application/grpc;
      add_trailer grpc-status 0 always;
      return 200 "${'x'.repeat(BODIES['100 B'])}";
    }
  }
}
`
}
