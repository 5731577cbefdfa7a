/**
 * Secrets to consumers. Their bytes are anyone's who may write a Secret, so each entry is held to its form, bounded, and
 * left out with a reason where it has none: a consumer that is left out is refused, nobody else is. Reasons name entries
 * and lines, never what they hold. Values are hidden texts from here on.
 */
import { createHash } from 'node:crypto'
import type { Secret } from '../../kube/kinds.ts'
import { HiddenText } from '../../model/config.ts'
import type { CredentialFacts } from './facts-own.ts'

/** Of one Secret; a Secret is 1 MiB at most. */
const CONSUMERS_MAX = 10_000
const KEY = /^[\x21-\x7e]{1,4096}$/
/** What a header can carry and htpasswd can write. */
const USER = /^[\x21-\x39\x3b-\x7e]{1,256}$/
const SHA_LINE = /^([^:]+):\{SHA\}([A-Za-z0-9+/]{27}=)$/
const HTPASSWD = ['.htpasswd', 'auth', 'users'] as const
const BASIC_TYPE = 'kubernetes.io/basic-auth'

export function readCredentials({ metadata, type, data = {} }: Secret): CredentialFacts | undefined {
  if (metadata.deletionTimestamp !== undefined) return undefined
  const entries = Object.entries(data).sort(([one], [other]) => (one < other ? -1 : 1))
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    keys: readKeys(entries),
    users: type === BASIC_TYPE ? readPair(data) : readUsers(data),
  }
}

function readKeys(entries: readonly (readonly [string, string])[]): CredentialFacts['keys'] {
  const known: { client: string; key: HiddenText }[] = []
  const problems: string[] = []
  for (const [client, encoded] of entries.slice(0, CONSUMERS_MAX)) {
    // A newline at the end is an editor's, never a key's: no header could carry it.
    const key = textOf(encoded)?.replace(/\r?\n$/, '')
    if (key !== undefined && KEY.test(key)) known.push({ client, key: new HiddenText(key) })
    else problems.push(`entry ${client} is no key: it needs 1 to 4096 visible ASCII characters`)
  }
  if (entries.length > CONSUMERS_MAX) problems.push(`has more than ${CONSUMERS_MAX} consumers; the rest are left out`)
  return { known, problems }
}

function readPair({ username, password }: Readonly<Record<string, string>>): CredentialFacts['users'] {
  const name = textOf(username ?? '') ?? ''
  const secret = textOf(password ?? '') ?? ''
  if (!USER.test(name))
    return { known: [], problems: ['entry username is no name: 1 to 256 visible characters without :'] }
  if (secret === '') return { known: [], problems: ['entry password is empty'] }
  return { known: [{ name, hash: hashOf(secret) }], problems: [] }
}

/** SHA-1 is all that Envoy's filter reads. */
const hashOf = (password: string): HiddenText =>
  new HiddenText(createHash('sha1').update(password, 'utf8').digest('base64'))

function readUsers(data: Readonly<Record<string, string>>): CredentialFacts['users'] {
  const known: { name: string; hash: HiddenText }[] = []
  const problems: string[] = []
  for (const entry of HTPASSWD) {
    if (!Object.hasOwn(data, entry)) continue
    const lines = (textOf(data[entry] ?? '') ?? '').split('\n')
    for (const [index, raw] of lines.entries()) {
      const line = raw.trim()
      if (line === '' || line.startsWith('#')) continue
      const [, name = '', hash = ''] = SHA_LINE.exec(line) ?? []
      if (known.length >= CONSUMERS_MAX) return { known, problems: [...problems, 'has too many users'] }
      if (USER.test(name)) known.push({ name, hash: new HiddenText(hash) })
      else if (problems.length < LINES_MAX) problems.push(`entry ${entry} line ${index + 1} is not name:{SHA}hash`)
    }
  }
  return { known, problems }
}

const LINES_MAX = 20

/** Undefined: it is not Base64 of UTF-8. */
function textOf(encoded: string): string | undefined {
  if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(encoded)) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(encoded, 'base64'))
  } catch {
    return undefined
  }
}
