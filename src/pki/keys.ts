/** EC P-256 keys, made and held by node:crypto; PEM is PKCS #8. Other key types are refused everywhere in the mesh. */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { MeshError } from '../runtime/errors.ts'
import { DerReader, readBitString, TAG } from './der.ts'

export interface KeyPair {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export function generateKey(): KeyPair {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
}

export function privateKeyPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string
}

/** Accepts what `privateKeyPem` writes and the SEC 1 form of `openssl ecparam -genkey`. */
export function parsePrivateKey(pem: string): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch (error) {
    throw MeshError.from(error, 'KEY_INVALID', 'cannot read the private key')
  }
  if (!isP256(key)) throw new MeshError('KEY_INVALID', 'the private key is not an EC key on the curve P-256')
  return key
}

export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
}

/** DER SubjectPublicKeyInfo of the public half. */
export function spkiOf(key: KeyObject): Buffer {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  return publicKey.export({ type: 'spki', format: 'der' })
}

/** Subject key identifier: the first 160 bits of SHA-256 over the key's bit string (RFC 7093 section 2, method 1). */
export function keyIdOf(spki: Buffer): Buffer {
  const fields = new DerReader(spki).enter()
  fields.next(TAG.sequence)
  const bits = readBitString(fields.next(TAG.bitString))
  return createHash('sha256').update(bits).digest().subarray(0, 20)
}
