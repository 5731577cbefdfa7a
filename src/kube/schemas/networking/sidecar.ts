/** Sidecar (networking.istio.io): which hosts a namespace's or a workload's proxies know, and what of the rest passes. */
import { z } from 'zod'
import { SIDECARS } from '../../kinds/networking.ts'
import { istioKind } from '../istio.ts'
import { NETWORKING_VERSIONS, destination, labelSelector, uint32 } from './common.ts'
import { serverTls } from './gateway.ts'
import { connectionPool } from './traffic-policy.ts'

const sidecarPort = z.strictObject({
  number: uint32().exactOptional(),
  protocol: z.string().exactOptional(),
  name: z.string().exactOptional(),
})

const captureMode = z.enum(['DEFAULT', 'IPTABLES', 'NONE'])

export const sidecarSpec = z.strictObject({
  workloadSelector: labelSelector().exactOptional(),
  ingress: z
    .array(
      z.strictObject({
        port: sidecarPort,
        bind: z.string().exactOptional(),
        captureMode: captureMode.exactOptional(),
        defaultEndpoint: z.string().exactOptional(),
        tls: serverTls().exactOptional(),
        connectionPool: connectionPool().exactOptional(),
      }),
    )
    .max(256)
    .exactOptional(),
  egress: z
    .array(
      z.strictObject({
        port: sidecarPort.exactOptional(),
        bind: z.string().exactOptional(),
        captureMode: captureMode.exactOptional(),
        hosts: z.array(z.string()).max(1_024).describe('`namespace/host`; `.` is this namespace, `*` any.'),
      }),
    )
    .max(256)
    .exactOptional(),
  inboundConnectionPool: connectionPool().exactOptional(),
  outboundTrafficPolicy: z
    .strictObject({
      mode: z.enum(['REGISTRY_ONLY', 'ALLOW_ANY']).exactOptional(),
      egressProxy: destination().exactOptional(),
    })
    .exactOptional(),
})

export const SIDECAR = istioKind({
  resource: SIDECARS,
  description: 'What the proxies of a namespace, or of some workloads, know and let out.',
  spec: sidecarSpec,
  versions: NETWORKING_VERSIONS,
  columns: [],
})
