/**
 * nginx as a peer of the one hop: what a proxy costs that does far less. It balances, logs JSON to a file and passes
 * the trace on; it has no counters by source and destination, and its policy is an address list.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ORIGIN_PORT } from './origin.ts'
import { LOCAL, type Places } from './places.ts'
import { startProgram, untilListening } from './programs.ts'
import { type System, systemOf } from './system.ts'

const PORT = 15003
const FIELDS: Readonly<Record<string, string>> = {
  time: 'time_iso8601',
  method: 'request_method',
  authority: 'host',
  path: 'request_uri',
  protocol: 'server_protocol',
  status: 'status',
  duration: 'request_time',
  bytesReceived: 'request_length',
  bytesSent: 'bytes_sent',
  upstream: 'upstream_addr',
  requestId: 'request_id',
}

export async function startNginx(options: {
  readonly places: Places
  readonly directory: string
  readonly origin: string
  readonly program: string
}): Promise<System> {
  const { places, directory, origin, program } = options
  const address = places.address()
  const log = join(directory, `nginx-${address}.log`)
  const path = join(directory, `nginx-${address}.conf`)
  await writeFile(path, configOf({ directory, address, origin, log }))
  // `master_process off`: one process, whose time is all there is.
  const args = ['-c', path, '-p', directory, '-e', 'stderr']
  const running = startProgram({ name: 'nginx', program, args })
  await untilListening(address, PORT)
  return systemOf({ target: { address, port: PORT, authority: LOCAL.host }, running: [running], logs: [log] })
}

function configOf(of: { directory: string; address: string; origin: string; log: string }): string {
  const json = Object.entries(FIELDS).map(([name, variable]) => `"${name}":"$${variable}"`)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${join(of.directory, `peer-${kind}`)};`,
  )
  return `
daemon off;
master_process off;
pid ${join(of.directory, 'nginx-peer.pid')};
error_log stderr warn;
events { worker_connections 8192; }
http {
  ${temporary.join('\n  ')}
  log_format line escape=json '{${json.join(',')}}';
  access_log ${of.log} line;
  keepalive_requests 1000000000;
  upstream application {
    server ${of.origin}:${ORIGIN_PORT};
    keepalive 256;
    keepalive_requests 1000000000;
  }
  server {
    listen ${of.address}:${PORT} backlog=4096;
    allow 127.0.0.0/8;
    deny all;
    location / {
      proxy_pass http://application;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Request-Id $request_id;
      proxy_connect_timeout 1s;
      proxy_read_timeout 15s;
    }
  }
}
`
}
