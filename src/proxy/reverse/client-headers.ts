/**
 * What a generic listener believes of what clients say about themselves, and what it says about them to endpoints:
 * `x-forwarded-*`, and the client's certificate. In Envoy's order, which matters: addresses first, then the scheme.
 */
import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { ForwardedCertificate, HttpSettings } from '../../model/config.ts'
import type { ClientConnectionFacts } from '../exchange-context.ts'
import { headerListOf, headerOf, type HeaderList, removeHeader, setHeader } from '../message.ts'
import { readPeer, subjectOf } from './tls-peer.ts'

const XFCC = 'x-forwarded-client-cert'

/** `remoteAddress`: the connection's. */
export function setForwarded(
  headers: HeaderList,
  settings: HttpSettings,
  client: ClientConnectionFacts,
  remoteAddress: string,
): void {
  const scheme = client.secure ? 'https' : 'http'
  if (settings.useRemoteAddress !== true) {
    if (headerOf(headers, 'x-forwarded-proto') === undefined) headers.push('x-forwarded-proto', scheme)
    return
  }
  const trustedHops = settings.trustedHops ?? 0
  setHeader(headers, 'x-envoy-external-address', trustedAddress(headers, settings) ?? remoteAddress)
  if (settings.skipXffAppend !== true) appendTo(headers, 'x-forwarded-for', forwardedAddress(remoteAddress))
  // A prior hop that nobody vouches for may claim anything.
  const trusted = trustedHops > 0
  if (!trusted || headerOf(headers, 'x-forwarded-proto') === undefined) setHeader(headers, 'x-forwarded-proto', scheme)
  if (settings.forwardedPort === true && (!trusted || headerOf(headers, 'x-forwarded-port') === undefined)) {
    setHeader(headers, 'x-forwarded-port', `${client.localPort}`)
  }
}

/**
 * The client's address as the hops before us have it. Who uses the connection's own address believes as many hops as
 * are trusted; who does not takes the list as a hop in front has left it, and so its last address at least.
 */
export function trustedAddress(headers: HeaderList, settings: HttpSettings): string | undefined {
  const { useRemoteAddress, trustedHops = 0 } = settings
  const skip = useRemoteAddress === true ? trustedHops - 1 : trustedHops
  const list = oneField(headers, 'x-forwarded-for')
  return skip < 0 ? undefined : lastAddress(list, skip)
}

/** Several fields of one list become one, as in Envoy, so that whoever reads the first reads them all. */
function oneField(headers: HeaderList, name: string): string | undefined {
  let [list, count]: [string | undefined, number] = [undefined, 0]
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] !== name) continue
    list = count++ === 0 ? headers[index + 1] : `${list},${headers[index + 1]}`
  }
  if (count > 1 && list !== undefined) setHeader(headers, name, list)
  return list
}

/** Of the addresses that hops have added the one that so many trusted hops vouch for. */
function lastAddress(list: string | undefined, skip: number): string | undefined {
  if (list === undefined) return undefined
  const addresses = list.split(',').map((address) => address.trim())
  const found = addresses[addresses.length - 1 - skip]
  return found !== undefined && isIP(found) !== 0 ? found : undefined
}

/** A client on this machine is told by an address that means something elsewhere, as Envoy does. */
export function forwardedAddress(remoteAddress: string): string {
  if (!remoteAddress.startsWith('127.') && remoteAddress !== '::1') return remoteAddress
  return (machineAddress ??= findMachineAddress() ?? remoteAddress)
}

let machineAddress: string | undefined

function findMachineAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address
}

/** One list field (RFC 9110 5.3), without a space, as Envoy writes it. */
export function appendTo(headers: HeaderList, name: string, value: string, separator = ','): void {
  const before = headerListOf(headers, name)
  setHeader(headers, name, before === undefined || before === '' ? value : `${before}${separator}${value}`)
}

export function forwardCertificate(
  headers: HeaderList,
  forwarded: ForwardedCertificate | undefined,
  { secure, certificate }: ClientConnectionFacts,
): void {
  if (forwarded?.mode === 'always') return
  // Only a client that proved who it is may speak for others.
  if (forwarded === undefined || !secure || certificate === undefined) return removeHeader(headers, XFCC)
  if (forwarded.mode === 'forward') return
  const element = elementOf(certificate, forwarded)
  if (forwarded.mode === 'append') appendTo(headers, XFCC, element)
  else setHeader(headers, XFCC, element)
}

function elementOf(certificate: X509Certificate, { subject, cert, dns, uri }: ForwardedCertificate): string {
  const peer = readPeer(certificate)
  const parts = [`Hash=${certificate.fingerprint256.replaceAll(':', '').toLowerCase()}`]
  if (cert === true) parts.push(`Cert="${encodeURIComponent(certificate.toString())}"`)
  if (subject === true) parts.push(`Subject="${quotedSubject(certificate)}"`)
  if (uri === true) parts.push(...(peer.uris.length === 0 ? ['URI='] : peer.uris.map((name) => `URI=${name}`)))
  if (dns === true) parts.push(...peer.dns.map((name) => `DNS=${name}`))
  return parts.join(';')
}

/** Quotes would end the value early. */
const quotedSubject = (certificate: X509Certificate): string => subjectOf(certificate).replaceAll('"', '\\"')
