/**
 * One JSON document over https from wherever an object of the cluster points. Whoever may write such an object must not
 * make the control plane ask what they cannot ask themselves: addresses are judged after the name was resolved and again
 * on the open connection, only those judged are dialled (no rebinding), nothing of ours is sent along, and every answer
 * is bounded in time, bytes and redirects (shared reference security, 3.3 row 15).
 */
import { lookup as resolve, type LookupAddress } from 'node:dns'
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { type LookupFunction, BlockList, isIP, isIPv4 } from 'node:net'
import { isForbiddenTarget } from '../../runtime/forbidden.ts'

export interface FetchOptions {
  /** For everything together: names, connections, redirects. */
  readonly timeoutMs: number
  /** PEM. Absent: what Node trusts by itself. */
  readonly roots?: readonly string[]
  readonly isForbidden: (address: string) => boolean
  /** Tests bring their own names. */
  readonly resolve?: typeof resolve
}

export const JSON_BYTES_MAX = 262_144 // a set of a hundred keys with certificates
const REDIRECTS_MAX = 3

const LOCAL = new BlockList()
LOCAL.addSubnet('127.0.0.0', 8, 'ipv4')
LOCAL.addSubnet('0.0.0.0', 8, 'ipv4')
LOCAL.addSubnet('224.0.0.0', 3, 'ipv4') // multicast and reserved
LOCAL.addAddress('::', 'ipv6')
LOCAL.addAddress('::1', 'ipv6')
LOCAL.addSubnet('ff00::', 8, 'ipv6')

/** Ourselves, link-local addresses and metadata services, and what else is listed: API servers. */
export function forbiddenBeside(others: readonly string[]): (address: string) => boolean {
  const listed = new Set(others.map(unmapped))
  return (given) => {
    const address = unmapped(given)
    const family = isIPv4(address) ? 'ipv4' : 'ipv6'
    return listed.has(address) || LOCAL.check(address, family) || isForbiddenTarget(bracketed(address))
  }
}

/** `::ffff:127.0.0.1` is 127.0.0.1 to whoever connects. */
const unmapped = (address: string): string => /^::ffff:([0-9.]+)$/i.exec(address)?.[1] ?? address.toLowerCase()
const bracketed = (address: string): string => (address.includes(':') ? `[${address}]` : address)

export async function fetchJson(uri: string, options: FetchOptions): Promise<unknown> {
  const signal = AbortSignal.timeout(options.timeoutMs)
  let url = plainHttps(uri)
  for (let redirects = 0; ; redirects += 1) {
    const answer = await ask(url, options, signal)
    if (answer.kind === 'text') return parsed(answer.text)
    if (redirects === REDIRECTS_MAX) throw new Error(`is redirected more than ${REDIRECTS_MAX} times`)
    url = plainHttps(new URL(answer.location, url).href)
  }
}

function plainHttps(uri: string): URL {
  if (!URL.canParse(uri)) throw new Error('is no URL')
  const url = new URL(uri)
  if (url.protocol !== 'https:') throw new Error('leads to an address that is not https')
  if (url.username !== '' || url.password !== '') throw new Error('holds a password')
  return url
}

type Asked =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'elsewhere'; readonly location: string }

function ask(url: URL, options: FetchOptions, signal: AbortSignal): Promise<Asked> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) !== 0 && options.isForbidden(host)) throw new Error(`${host} is no address to ask`)
  return new Promise((done, reject) => {
    const fail = (error: Error): void => reject(signal.aborted ? new Error('did not answer in time') : error)
    const request = httpsRequest(url, {
      agent: false,
      signal,
      lookup: guarded(options),
      headers: { accept: 'application/json', 'user-agent': 'isthmus-control-plane' },
      ...(options.roots !== undefined && { ca: [...options.roots] }),
    })
    request.on('error', fail)
    request.on('socket', (socket) => {
      socket.once('connect', () => {
        const { remoteAddress = '' } = socket
        if (options.isForbidden(remoteAddress)) request.destroy(new Error(`${remoteAddress} is no address to ask`))
      })
    })
    request.on('response', (response) => {
      read(response).then(done, fail)
    })
    request.end()
  })
}

/** All addresses of a name are judged, and those very ones are dialled. */
function guarded({ isForbidden, resolve: find = resolve }: FetchOptions): LookupFunction {
  return (name, lookupOptions, answer) => {
    find(name, { ...lookupOptions, all: true }, (error: Error | null, addresses: readonly LookupAddress[]) => {
      if (error !== null) return answer(error, '')
      const bad = addresses.find(({ address }) => isForbidden(address))
      const [first] = addresses
      if (bad !== undefined) return answer(new Error(`${name} means ${bad.address}, which is no address to ask`), '')
      if (first === undefined) return answer(new Error(`${name} has no address`), '')
      if (lookupOptions.all === true) return answer(null, [...addresses])
      return answer(null, first.address, first.family)
    })
  }
}

async function read(response: IncomingMessage): Promise<Asked> {
  const { statusCode: status = 0, headers } = response
  if ([301, 302, 303, 307, 308].includes(status) && headers.location !== undefined) {
    response.destroy()
    return { kind: 'elsewhere', location: headers.location }
  }
  if (status !== 200) {
    response.destroy()
    throw new Error(`answers ${status}`)
  }
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > JSON_BYTES_MAX) throw new Error(`is larger than ${JSON_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return { kind: 'text', text: Buffer.concat(chunks).toString('utf8') }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('is no JSON')
  }
}
