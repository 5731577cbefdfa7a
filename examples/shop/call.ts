/** One HTTP GET through the proxy that `http_proxy` names (RFC 9112 section 3.2.2, absolute-form), or directly without it. */
import { Agent, request, type RequestOptions } from 'node:http'

export interface Call {
  readonly url: string
  readonly timeoutMs: number
  readonly headers?: Readonly<Record<string, string>>
}

export interface CallResult {
  /** 0: no answer. */
  readonly status: number
  readonly pods: readonly string[]
  readonly error?: string
}

const agent = new Agent({ keepAlive: true, maxSockets: 4_096, maxFreeSockets: 256 })

/** `done` is called exactly once. */
export function call(options: Call, done: (result: CallResult) => void): void {
  let finished = false
  const finish = (result: CallResult): void => {
    if (finished) return
    finished = true
    clearTimeout(timer)
    done(result)
  }
  const outgoing = request(requestOptions(options), (response) => {
    const header = response.headers['x-shop-pods']
    const pods = typeof header === 'string' && header !== '' ? header.split(',') : []
    response.resume()
    response.on('end', () => finish({ status: response.statusCode ?? 0, pods }))
    response.on('error', (error) => finish({ status: 0, pods, error: error.message }))
  })
  const timer = setTimeout(() => {
    outgoing.destroy(new Error(`no answer within ${options.timeoutMs} ms`))
  }, options.timeoutMs)
  outgoing.on('error', (error) => finish({ status: 0, pods: [], error: error.message }))
  outgoing.end()
}

function requestOptions({ url, headers }: Call): RequestOptions {
  const target = new URL(url)
  const proxy = process.env['http_proxy']
  if (proxy === undefined || proxy === '')
    return { agent, host: target.hostname, port: target.port || 80, path: target.pathname, headers }
  const via = new URL(proxy)
  return { agent, host: via.hostname, port: via.port || 80, path: url, headers: { ...headers, host: target.host } }
}
