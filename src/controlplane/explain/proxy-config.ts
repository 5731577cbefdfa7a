/**
 * What the control plane gave one proxy, and what of it the proxy has acknowledged: `isthmus proxy-config` and
 * `proxy-status POD`. Keys are hidden texts in the model and show as `[redacted]`; a second look at the text is for
 * whoever one day puts one elsewhere. Pure.
 */
import type { ProxyConfig } from '../../model/config.ts'
import type { KindDiff, ProxyReport } from '../../model/explain.ts'
import type { ProxyContents } from '../../xds/server.ts'
import type { KindContents } from '../../xds/stream.ts'
import type { SubscriptionStatus } from '../../xds/subscription.ts'
import type { ProxyClient } from '../push.ts'

/** More names than these say no more. */
const NAMES_MAX = 100

export function proxyReport(found: ProxyContents<ProxyClient>): ProxyReport {
  const { client, connectedAt, synced, version = '', kinds, contents } = found
  const diffs = contents.map((found) => diffOf(found, kinds[found.kind]))
  const { namespace, pod, role } = client
  return { namespace, pod, role, connection: { connectedAt, synced, version, kinds: diffs } }
}

function diffOf(found: KindContents, status: SubscriptionStatus | undefined): KindDiff {
  const { kind, wanted, held, missing, surplus, isClean } = found
  const refused = status?.nack?.message ?? ''
  const isUnderWay = status?.awaiting !== undefined
  return {
    kind,
    state: refused !== '' ? 'refused' : isUnderWay ? 'sent' : isClean ? 'synced' : 'stale',
    wanted,
    held,
    missing: missing.slice(0, NAMES_MAX),
    surplus: surplus.slice(0, NAMES_MAX),
    refused,
    ...(status?.sentAt !== undefined && { sentAt: status.sentAt }),
    ...(status?.ackedAt !== undefined && { ackedAt: status.ackedAt }),
  }
}

const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*-----END [A-Z ]*PRIVATE KEY-----/g

/** Resources by name, in the form of a proxy's own `/config_dump?format=model`. */
export function configText(config: ProxyConfig): object {
  return JSON.parse(
    JSON.stringify(config, (_key, value: unknown) => {
      if (value instanceof Map) return Object.fromEntries(value)
      if (isTable(value)) return Object.fromEntries(value.entries())
      return typeof value === 'string' ? value.replaceAll(PRIVATE_KEY, '[redacted]') : value
    }),
  ) as object
}

/** Tables of several layers are no Maps, and read like them. */
function isTable(value: unknown): value is ReadonlyMap<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'entries' in value &&
    typeof value.entries === 'function' &&
    !Array.isArray(value)
  )
}
