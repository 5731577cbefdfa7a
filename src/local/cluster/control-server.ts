/**
 * The cluster's control socket: HTTP over a unix socket that only its owner can open. Status, images, faults, stop; what
 * belongs to Kubernetes goes through the API server instead.
 */
import { chmodSync, rmSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { MeshError, messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { ControlFailure } from './control-api.ts'
import { createServer } from '../../runtime/http.ts'

/** One request each: `METHOD /path` → answer as JSON. */
export type ControlRoutes = Readonly<Record<string, (body: unknown) => unknown>>

const BODY_BYTES_MAX = 64 * 1024

export interface ControlServer {
  close(): Promise<void>
}

export async function startControlServer(socket: string, routes: ControlRoutes, log: Log): Promise<ControlServer> {
  // A socket of a process that was killed: the cluster's lock is ours, so nobody listens on it.
  rmSync(socket, { force: true })
  const server = createServer((request, response) => {
    answer(request, response, routes).catch((error: unknown) => {
      log.warn({ err: error, url: request.url }, 'a control request failed')
      response.destroy()
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socket, resolve)
  })
  chmodSync(socket, 0o600)
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, routes: ControlRoutes): Promise<void> {
  const route = routes[`${request.method} ${request.url}`]
  try {
    if (route === undefined) throw new MeshError('USAGE', `the control socket has no ${request.method} ${request.url}`)
    send(response, 200, (await route(await readBody(request))) ?? {})
  } catch (error) {
    const known = MeshError.from(error, 'INTERNAL', `${request.method} ${request.url}`)
    const failure: ControlFailure = { code: known.code, message: known.message, hint: known.hint }
    send(response, known.code === 'INTERNAL' ? 500 : 400, failure)
  }
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const chunk of request) {
    text += String(chunk)
    if (text.length > BODY_BYTES_MAX) throw new MeshError('USAGE', 'the request is too large')
  }
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new MeshError('USAGE', `the request is not JSON: ${messageOf(error)}`)
  }
}

function send(response: ServerResponse, status: number, value: unknown): void {
  // One request per connection: nothing to keep open when the process ends.
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' })
  response.end(JSON.stringify(value))
}
