/** The parts of this folder put together: a snapshot goes in, keys and conditions stand in the cluster. */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { getCACertificates } from 'node:tls'
import { REQUEST_AUTHENTICATIONS } from '../../kube/kinds.ts'
import type { KubeClient } from '../../kube/client.ts'
import type { Clock } from '../../runtime/clock.ts'
import { MeshError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { ObjectConditions } from '../object-conditions.ts'
import type { Snapshot } from '../observe/facts.ts'
import { fetchJson, forbiddenBeside } from './fetch-json.ts'
import { IssuerKeys } from './issuer-keys.ts'
import { keyConditions } from './key-conditions.ts'
import { KeyStore } from './key-store.ts'

export interface IssuerKeyParts {
  set(snapshot: Pick<Snapshot, 'security'>): void
  stop(): Promise<void>
}

export interface IssuerKeySettings {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly refreshMs: number
  readonly fetch: (uri: string, timeoutMs: number) => Promise<unknown>
}

export function issuerKeyParts({ refreshMs, fetch, ...common }: IssuerKeySettings): IssuerKeyParts {
  const store = new KeyStore(common)
  const conditions = new ObjectConditions({ ...common, resource: REQUEST_AUTHENTICATIONS, type: 'KeysFetched' })
  let latest: Pick<Snapshot, 'security'> | undefined
  const say = (): void => {
    if (latest !== undefined) conditions.say(keyConditions(latest.security, (uri) => keys.problem(uri)))
  }
  const keys: IssuerKeys = new IssuerKeys({
    ...common,
    refreshMs,
    fetch,
    onFetched: (sets) => store.put(sets, keys.wanted),
    onState: say,
  })
  return {
    set: (snapshot) => {
      const before = latest?.security
      latest = snapshot
      const { requestAuthentications, keySets } = snapshot.security
      if (requestAuthentications !== before?.requestAuthentications) keys.want(requestAuthentications)
      else if (keySets !== before.keySets) say()
    },
    stop: async () => void (await Promise.all([keys.stop(), store.stop(), conditions.stop()])),
  }
}

/** By the system's authorities and those of a file, never to the API server: its address is in every pod's environment. */
export function fetchByHttps(caFile: string, apiServer: string | undefined): IssuerKeySettings['fetch'] {
  const extra = caFile === '' ? [] : [readFileSync(caFile, 'utf8')]
  if (extra.some((pem) => !pem.includes('-----BEGIN CERTIFICATE-----')))
    throw new MeshError('CONFIG_INVALID', `${caFile} (ISTHMUS_JWKS_CA_FILE) has no certificate in PEM`)
  const isForbidden = forbiddenBeside(apiServer !== undefined && isIP(apiServer) !== 0 ? [apiServer] : [])
  let roots: readonly string[] | undefined
  return (uri, timeoutMs) => {
    // Read when the first issuer is asked: most meshes have none, and the list is long.
    roots ??= [...new Set([...getCACertificates('default'), ...getCACertificates('system'), ...extra])]
    return fetchJson(uri, { timeoutMs, roots, isForbidden })
  }
}
