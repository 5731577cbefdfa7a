/**
 * What every request and response passes, in one literal order. A filter reads and changes a head and decides nothing
 * else; refusals are exchange.ts's. Adding one is adding it to the tuple, at the place where it has to stand.
 */
import { randomId } from './random-id.ts'
import type { Peer } from '../identity.ts'
import { headerOf, removeHeaders, type RequestHead, type ResponseHead, setHeader } from '../message.ts'

export interface FilterContext {
  readonly mode: 'forward' | 'inbound'
  /** Whose connection the request came over; undefined: an application of this pod. */
  readonly peer: Peer | undefined
  readonly ownUri: string
}

type RequestFilter = (head: RequestHead, context: FilterContext) => void
type ResponseFilter = (head: ResponseHead, fromMesh: boolean) => void

/** Strip before set: what remains of these names was written by this proxy. */
const REQUEST_FILTERS: readonly RequestFilter[] = [stripIdentity, setIdentity, setRequestId, setForwardedProto]
const RESPONSE_FILTERS: readonly ResponseFilter[] = [stripResponseIdentity]

export function filterRequest(head: RequestHead, context: FilterContext): void {
  for (const filter of REQUEST_FILTERS) filter(head, context)
}

/** `fromMesh`: the other end is a proxy of the mesh whose identity was checked. */
export function filterResponse(head: ResponseHead, fromMesh: boolean): void {
  for (const filter of RESPONSE_FILTERS) filter(head, fromMesh)
}

function isIdentityHeader(name: string): boolean {
  const first = name.charCodeAt(0)
  if (first === LETTER_I) return name.startsWith('isthmus-')
  return first === LETTER_X && (name === 'x-forwarded-client-cert' || name.startsWith('x-envoy-peer-'))
}

const LETTER_I = 0x69
const LETTER_P = 0x70
const LETTER_X = 0x78

const isForThisHop = (name: string): boolean =>
  isIdentityHeader(name) || (name.charCodeAt(0) === LETTER_P && name.startsWith('proxy-'))

const isPeerFact = (name: string): boolean => name.startsWith('isthmus-') || name.startsWith('x-envoy-peer-')

/** What proxies of the mesh tell each other; who the client is says the listener by itself. */
export function stripPeerFacts(head: RequestHead): void {
  removeHeaders(head.headers, isPeerFact)
}

/** Anyone can write these; a service behind us believes them. `proxy-*` was meant for this hop. */
function stripIdentity(head: RequestHead): void {
  removeHeaders(head.headers, isForThisHop)
}

/** Envoy's SANITIZE_SET: who called, as the handshake proved it, and as whom we answered. */
function setIdentity(head: RequestHead, context: FilterContext): void {
  if (context.mode !== 'inbound' || context.peer === undefined) return
  head.headers.push('x-forwarded-client-cert', identityOf(context.ownUri, context.peer.uri))
}

/** A pod has few callers, and each asks often. */
let told = { by: '', uri: '', text: '' }

function identityOf(by: string, uri: string): string {
  if (told.uri !== uri || told.by !== by) told = { by, uri, text: `By=${by};URI=${uri}` }
  return told.text
}

function setRequestId(head: RequestHead): void {
  if (headerOf(head.headers, 'x-request-id') === undefined) head.headers.push('x-request-id', randomId())
}

function setForwardedProto(head: RequestHead, context: FilterContext): void {
  if (context.mode === 'forward') setHeader(head.headers, 'x-forwarded-proto', 'http')
}

const isIdentityButError = (name: string): boolean => isIdentityHeader(name) && name !== 'isthmus-error'

/** An application cannot speak as a proxy; a proxy's own `isthmus-error` is for the caller to read. */
function stripResponseIdentity(head: ResponseHead, fromMesh: boolean): void {
  removeHeaders(head.headers, fromMesh ? isIdentityButError : isIdentityHeader)
}
