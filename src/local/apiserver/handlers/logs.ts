/** GET pods/<name>/log: the server finds pod and container, the node agent's hook brings the bytes. */
import { isTrue } from '../http/request-info.ts'
import { endResponse, flushHead, writeChunk, writeHead } from '../http/response.ts'
import { children, text } from '../object.ts'
import { ApiError, badRequest } from '../status.ts'
import { getObject } from './read.ts'
import type { LogOptions, Scope } from './scope.ts'

export async function sendLogs(scope: Scope): Promise<void> {
  const pod = getObject(scope)
  const container = containerOf(scope, [
    ...children(pod['spec'], 'initContainers').map((item) => text(item, 'name')),
    ...children(pod['spec'], 'containers').map((item) => text(item, 'name')),
  ])
  const read = scope.context.logs()
  if (read === undefined) throw new ApiError(503, 'ServiceUnavailable', 'no node agent offers logs on this server')
  const stop = new AbortController()
  scope.response.on('close', () => stop.abort())
  // Following a log lasts until the container ends: the server's own end must end it too.
  const signal = AbortSignal.any([stop.signal, scope.context.closing])
  await stream(scope, read(scope.info.namespace, scope.info.name, container, logOptions(scope, signal)))
}

/** Pods with one container need not name it; sidecars make it ambiguous, and the error lists the choices. */
function containerOf(scope: Scope, names: readonly string[]): string {
  const asked = scope.query.get('container') ?? ''
  const [only] = names
  if (asked === '' && names.length === 1 && only !== undefined) return only
  if (asked === '')
    throw badRequest(
      `a container name must be specified for pod ${scope.info.name}, choose one of: [${names.join(' ')}]`,
    )
  if (!names.includes(asked)) throw badRequest(`container ${asked} is not valid for pod ${scope.info.name}`)
  return asked
}

function logOptions(scope: Scope, signal: AbortSignal): LogOptions {
  const number = (name: string): number | undefined => {
    const value = scope.query.get(name)
    if (value === null || value === '') return undefined
    if (!/^[0-9]{1,15}$/.test(value)) throw badRequest(`${name} must be a non-negative integer, got "${value}"`)
    return Number(value)
  }
  const [tailLines, sinceSeconds, limitBytes] = [number('tailLines'), number('sinceSeconds'), number('limitBytes')]
  return {
    follow: isTrue(scope.query.get('follow')),
    previous: isTrue(scope.query.get('previous')),
    timestamps: isTrue(scope.query.get('timestamps')),
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(sinceSeconds === undefined ? {} : { sinceSeconds }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    signal,
  }
}

/** The first chunk decides: a reader that fails before it gets a Status, one that fails after it a cut stream. */
async function stream(scope: Scope, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const { response } = scope
  const iterator = chunks[Symbol.asyncIterator]()
  let next = await iterator.next()
  writeHead(response, { contentType: 'text/plain' })
  flushHead(response)
  try {
    while (next.done !== true && !response.destroyed) {
      if (!writeChunk(response, next.value)) await drained(scope)
      next = await iterator.next()
    }
    endResponse(response)
  } catch (error) {
    scope.context.log.warn({ err: error, path: scope.info.path }, 'logs: the reader failed')
    response.destroy()
  } finally {
    await iterator.return?.()
  }
}

/** Also on close: a reader that went away must not hold the log open. */
function drained(scope: Scope): Promise<void> {
  return new Promise((resolve) => {
    scope.response.once('drain', resolve)
    scope.response.once('close', resolve)
  })
}
