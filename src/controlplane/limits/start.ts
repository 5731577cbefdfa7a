/** The rate limit server with its certificate: opens its port when there is one, and follows the cluster's trust. */
import { PORTS } from '../../model/ports.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Signer } from '../identity/signer.ts'
import type { ControlPlaneMetrics } from '../metrics.ts'
import type { Snapshot } from '../observe/facts.ts'
import { NO_OWN } from '../observe/facts-own.ts'
import type { ClusterTrust } from '../observe/trust.ts'
import { OwnCertificate } from './own-certificate.ts'
import { LimitServer } from './server.ts'

export interface LimitsOptions {
  readonly host: string
  readonly trustDomain: string
  readonly signer: Signer
  readonly clock: Clock
  readonly log: Log
  readonly snapshot: () => Snapshot | undefined
  readonly onAnswer: ControlPlaneMetrics['limits']
}

export interface Limits {
  readonly size: number
  follow(trust: ClusterTrust | undefined): void
  close(): Promise<void>
}

export function startLimits({ signer, snapshot, ...options }: LimitsOptions): Limits {
  const { clock, log, trustDomain } = options
  const server = new LimitServer({
    ...options,
    port: PORTS.rateLimits,
    policies: () => {
      const seen = snapshot()
      return seen === undefined ? undefined : (seen.own ?? NO_OWN).rateLimits
    },
  })
  const certificate = new OwnCertificate({
    signer,
    trustDomain,
    clock,
    log,
    onChange: (context) => {
      server.use(context).then(
        (port) => port !== undefined && log.info({ port }, 'counting rate limits'),
        (error: unknown) => log.error({ reason: messageOf(error) }, 'rate limits cannot be counted here'),
      )
    },
  })
  return {
    get size() {
      return server.size
    },
    follow: (trust) => certificate.follow(trust),
    close: () => {
      certificate.close()
      return server.close()
    },
  }
}
