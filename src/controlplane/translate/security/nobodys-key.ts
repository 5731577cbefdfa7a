/**
 * A public key that belongs to nobody, for issuers whose keys are not known yet: proxies want a key set with a key in
 * it, and no token may fit. A point of P-256 (FIPS 186-5, SP 800-186 3.2.1.3) is found from a hash, so that whoever
 * wanted its private key would have to solve the discrete logarithm: no one can have kept it, and all replicas agree.
 */
import { createHash } from 'node:crypto'

const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn
const SEED = 'isthmus: the key of nobody'

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  for (let [square, rest] = [base % P, exponent]; rest > 0n; square = (square * square) % P, rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % P
  }
  return result
}

function findPoint(): { readonly x: bigint; readonly y: bigint } {
  for (let attempt = 0; ; attempt++) {
    const x = BigInt(`0x${createHash('sha256').update(`${SEED} ${attempt}`).digest('hex')}`) % P
    const square = (power(x, 3n) + (P - 3n) * x + B) % P
    // p = 3 mod 4: a root, if there is one, is the power (p + 1) / 4.
    const y = power(square, (P + 1n) / 4n)
    if ((y * y) % P === square) return { x, y }
  }
}

const coordinate = (value: bigint): string =>
  Buffer.from(value.toString(16).padStart(64, '0'), 'hex').toString('base64url')

let known: string | undefined

/** A JSON Web Key Set whose one key signed nothing and never will. */
export function nobodysKeys(): string {
  if (known === undefined) {
    const { x, y } = findPoint()
    const key = { kty: 'EC', crv: 'P-256', alg: 'ES256', kid: 'nobody', x: coordinate(x), y: coordinate(y) }
    known = JSON.stringify({ keys: [key] })
  }
  return known
}
