/**
 * Secrets that gateways may serve with: those of the namespaces that gateways run in, and of them only certificates and
 * roots. Keys are hidden texts: no log, dump or error shows them.
 */
import type { HiddenText } from '../../model/config.ts'

export interface TlsSecretFacts {
  readonly namespace: string
  readonly name: string
  /** PEM, leaf first, and the key that belongs to it. */
  readonly pair?: { readonly chain: string; readonly key: HiddenText }
  /** PEM of who may sign the other side's certificate. */
  readonly roots?: string
  /** Why it has no pair although it looks as if it should. */
  readonly problem?: string
}

export interface SecretFacts {
  /** By `namespace/name`. */
  readonly byName: ReadonlyMap<string, TlsSecretFacts>
  /**
   * Namespaces whose Secrets are known: listed, or refused by the API server. Of the others nobody knows what is there,
   * and a gateway keeps what it has.
   */
  readonly namespaces: ReadonlyMap<string, 'listed' | 'refused'>
}
