/** Refusals that say how to do better: `www-authenticate` with the realm that Envoy names. */
import { configuredReply, type LocalAnswer } from '../local-reply.ts'
import type { RequestHead } from '../message.ts'

const PATH_CHARS_MAX = 256 // Envoy's

export interface Challenge {
  readonly scheme: 'Basic' | 'Bearer'
  readonly status: number
  readonly text: string
  /** Behind the realm. */
  readonly more?: string
}

export function challenge(
  { scheme: from, authority, path }: RequestHead,
  { scheme, status, text, more = '' }: Challenge,
): LocalAnswer {
  const realm = `${from}://${authority}${path.slice(0, PATH_CHARS_MAX)}`
  const headers = ['content-type', 'text/plain', 'www-authenticate', `${scheme} realm="${realm}"${more}`]
  return { ...configuredReply(status, headers, Buffer.from(text)), detail: text }
}
