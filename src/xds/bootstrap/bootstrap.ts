/**
 * envoy.config.bootstrap.v3.Bootstrap to what `isthmus proxy -c` runs. Each static resource goes through the same strict
 * decoder as one that arrives over xDS; all faults of a file are found in one reading.
 */
import type { JsonObject } from '@bufbuild/protobuf'
import { type Bootstrap as BootstrapMessage, BootstrapSchema } from '#gen/envoy/config/bootstrap/v3/bootstrap_pb.js'
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import type { Node as NodeMessage } from '#gen/envoy/config/core/v3/base_pb.js'
import { ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js'
import { SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import type { ProxyConfig } from '../../model/config.ts'
import type { OverloadConfig } from '../../model/overload.ts'
import { decodeCluster, FILE_CLUSTER_SHAPE } from '../codec/cluster.ts'
import { ADDRESS_SHAPE, decodeAddress } from '../codec/common.ts'
import { decodeListener, shapeOfListener } from '../codec/listener.ts'
import { decodeSecret, FILE_SECRET_SHAPE } from '../codec/secret.ts'
import { checkShape, Refusal, require, type Shape, within } from '../codec/shape.ts'
import { referencesOf } from '../client-state.ts'
import { readDocument } from './document.ts'
import { decodeDynamic, type Dynamic, DYNAMIC_SHAPE } from './dynamic.ts'
import { messageFromJson } from './json.ts'
import { decodeOverload, OVERLOAD_SHAPE } from './overload.ts'

export interface Bootstrap {
  readonly node: ProxyNode
  /** Absent: no admin page is served. */
  readonly admin: { readonly address: string; readonly port: number } | undefined
  /** Absent: nothing of the process' own is watched. */
  readonly overload: OverloadConfig | undefined
  /** The static resources. */
  readonly config: ProxyConfig
  readonly dynamic: Dynamic | undefined
}

export interface ProxyNode {
  readonly id: string
  readonly cluster: string
  readonly metadata: JsonObject
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string }
}

/** What is wrong with a file: the field's path (or a line, or neither), and why. */
export interface Fault {
  readonly path: string
  readonly message: string
}

export type BootstrapResult =
  | { readonly ok: true; readonly bootstrap: Bootstrap }
  | { readonly ok: false; readonly faults: readonly Fault[] }

export const BOOTSTRAP_SHAPE: Shape = {
  node: { id: true, cluster: true, metadata: true, locality: { region: true, zone: true, sub_zone: true } },
  // Each resource is held to its own shape.
  static_resources: { listeners: true, clusters: true, secrets: true },
  dynamic_resources: DYNAMIC_SHAPE,
  admin: { address: ADDRESS_SHAPE },
  overload_manager: OVERLOAD_SHAPE,
}

export function readBootstrap(text: string): BootstrapResult {
  const read = readDocument(text)
  if (!read.ok) return { ok: false, faults: [{ path: read.where, message: read.message }] }
  const faults: Fault[] = []
  const message = attempt(faults, () => {
    const found = messageFromJson(BootstrapSchema, read.value, '')
    checkShape(BootstrapSchema, found, BOOTSTRAP_SHAPE, '')
    return found
  })
  const bootstrap = message && attempt(faults, () => decodeBootstrap(message, faults))
  if (bootstrap !== undefined && bootstrap.dynamic === undefined) faults.push(...unsourced(bootstrap.config))
  return bootstrap === undefined || faults.length > 0 ? { ok: false, faults } : { ok: true, bootstrap }
}

function decodeBootstrap(message: BootstrapMessage, faults: Fault[]): Bootstrap {
  const { listeners = [], clusters = [], secrets = [] } = message.staticResources ?? {}
  const { dynamicResources } = message
  return {
    node: decodeNode(message.node),
    admin: message.admin?.address && decodeAddress('admin.address', message.admin.address),
    overload: message.overloadManager && decodeOverload('overload_manager', message.overloadManager),
    config: {
      listeners: named('listeners', faults, listeners, (path, listener) => {
        checkShape(ListenerSchema, listener, shapeOfListener(listener), path)
        return decodeListener(path, listener)
      }),
      clusters: named('clusters', faults, clusters, (path, cluster) => {
        checkShape(ClusterSchema, cluster, FILE_CLUSTER_SHAPE, path)
        return decodeCluster(path, cluster)
      }),
      routes: new Map(),
      endpoints: new Map(),
      secrets: named('secrets', faults, secrets, (path, secret) => {
        checkShape(SecretSchema, secret, FILE_SECRET_SHAPE, path)
        return decodeSecret(path, secret, undefined)
      }),
    },
    dynamic: dynamicResources && decodeDynamic('dynamic_resources', dynamicResources),
  }
}

/** What only a server could bring, where there is none. */
function unsourced(config: ProxyConfig): readonly Fault[] {
  const path = 'dynamic_resources.ads_config'
  return Object.entries(referencesOf(config)).flatMap(([kind, names]: [string, ReadonlySet<string>]) =>
    [...names].map((name) => ({ path, message: `is required: ${kind} ${name} come over ADS` })),
  )
}

function named<T extends { readonly name: string }, M>(
  field: string,
  faults: Fault[],
  messages: readonly M[],
  decode: (path: string, message: M) => T,
): Map<string, T> {
  const found = new Map<string, T>()
  for (const [index, message] of messages.entries()) {
    const path = `static_resources.${field}[${index}]`
    const value = attempt(faults, () => decode(path, message))
    if (value === undefined) continue
    if (found.has(value.name)) faults.push({ path: within(path, 'name'), message: `${value.name} is there twice` })
    found.set(value.name, value)
  }
  return found
}

function decodeNode(node: NodeMessage | undefined): ProxyNode {
  const { region = '', zone = '', subZone = '' } = node?.locality ?? {}
  const metadata = node?.metadata ?? {}
  require('node.metadata', JSON.stringify(metadata).length <= 65_536, 'is longer than 64 KiB')
  return { id: node?.id ?? '', cluster: node?.cluster ?? '', metadata, locality: { region, zone, subZone } }
}

function attempt<T>(faults: Fault[], run: () => T): T | undefined {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    faults.push({ path: error.path, message: error.message })
    return undefined
  }
}
