/**
 * Key material of generic TLS, read when a configuration is compiled: text, file or environment to what node:tls
 * takes. Cold. What cannot be read or does not fit together is a fault of the configuration, never of a handshake.
 */
import { readFileSync, statSync } from 'node:fs'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type {
  DataSource,
  GenericSecret,
  HiddenSource,
  KeyPair,
  PeerValidation,
  TlsCommon,
  ValidationSource,
} from '../../model/config.ts'

/** Far above any chain or bundle of anchors in use. */
const FILE_BYTES_MAX = 4 * 1_048_576

/** Says what is wrong with a source; compile.ts makes a rejection of it. */
export class TlsFault extends Error {
  /** The chain's, set by whoever knows its place. */
  path = ''
}

export interface KeyMaterial {
  readonly cert: string
  readonly key: string
  readonly passphrase: string | undefined
}

export interface Anchors extends Omit<PeerValidation, 'trustedCa'> {
  /** Absent: the chain is not verified. */
  readonly ca: string | undefined
}

export interface Material {
  readonly pairs: readonly KeyMaterial[]
  readonly anchors: Anchors | undefined
}

export type SecretOf = (name: string) => GenericSecret | undefined

/** Undefined: a secret that it names has not come yet. */
export function readMaterial(tls: TlsCommon, secretOf: SecretOf): Material | undefined {
  const pairs: KeyMaterial[] = []
  for (const source of tls.certificates) {
    const pair = 'sds' in source ? pairOf(source.sds, secretOf) : source
    if (pair === undefined) return undefined
    pairs.push(readPair(pair))
  }
  if (tls.validation === undefined) return { pairs, anchors: undefined }
  const anchors = readAnchors(tls.validation, secretOf)
  return anchors && { pairs, anchors }
}

function pairOf(name: string, secretOf: SecretOf): KeyPair | undefined {
  const secret = secretOf(name)
  if (secret === undefined || secret.kind === 'certificate') return secret?.pair
  throw new TlsFault(`secret ${name} is no certificate`)
}

function readPair(pair: KeyPair): KeyMaterial {
  const cert = readSource(pair.chain)
  const key = readHidden(pair.key)
  const passphrase = pair.password === undefined ? undefined : readHidden(pair.password).trimEnd()
  const nameOf = (source: DataSource): string => ('file' in source ? source.file : 'the certificate')
  try {
    const leaf = new X509Certificate(cert)
    const privateKey = createPrivateKey({ key, ...(passphrase !== undefined && { passphrase }) })
    if (leaf.checkPrivateKey(privateKey)) return { cert, key, passphrase }
  } catch {
    // OpenSSL's text may quote what it read; where it came from is enough.
    throw new TlsFault(`${nameOf(pair.chain)} and its key are not PEM that can be read`)
  }
  throw new TlsFault(`${nameOf(pair.chain)} does not belong to its key`)
}

function readAnchors(source: ValidationSource, secretOf: SecretOf): Anchors | undefined {
  const { sds, ...own } = source
  let validation: PeerValidation = own
  if (sds !== undefined) {
    const secret = secretOf(sds)
    if (secret === undefined) return undefined
    if (secret.kind !== 'validation') throw new TlsFault(`secret ${sds} is no validation context`)
    // As protobuf merges: single values of the secret replace, lists add up.
    validation = {
      ...own,
      ...secret.validation,
      names: [...(own.names ?? []), ...(secret.validation.names ?? [])],
      hashes: [...(own.hashes ?? []), ...(secret.validation.hashes ?? [])],
      keys: [...(own.keys ?? []), ...(secret.validation.keys ?? [])],
    }
  }
  const { trustedCa, ...rest } = validation
  return { ...rest, ca: trustedCa === undefined ? undefined : readSource(trustedCa) }
}

const readHidden = (source: HiddenSource): string => ('hidden' in source ? source.hidden.reveal() : readSource(source))

function readSource(source: DataSource): string {
  if ('text' in source) return source.text
  if ('env' in source) return process.env[source.env] ?? fail(`environment variable ${source.env} is not set`)
  try {
    if (statSync(source.file).size > FILE_BYTES_MAX) return fail(`${source.file} has more than ${FILE_BYTES_MAX} bytes`)
    return readFileSync(source.file, 'utf8')
  } catch (error) {
    if (error instanceof TlsFault) throw error
    return fail(`${source.file}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

const fail = (message: string): never => {
  throw new TlsFault(message)
}
