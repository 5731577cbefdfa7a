/** PeerMessage <-> protobuf bytes. Reads what newer peers add without minding it; judges nothing: admit.ts does. */
import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf'
import {
  DataView as ProtoDataView,
  PeerMessageSchema,
  type ExportedService as ProtoService,
  type ExportedServiceSchema,
  type Members as ProtoMembers,
  type MembersSchema,
  type PeerMessage as ProtoMessage,
} from '#gen/isthmus/federation/v1/federation_pb.js'
import type { Export, Withdrawal } from '../exports/export.ts'
import type { DataState, Members, PeerMessage } from './message.ts'

export function encodeMessage(message: PeerMessage): Uint8Array {
  return toBinary(PeerMessageSchema, create(PeerMessageSchema, { body: bodyOf(message) }))
}

/** `unknown`: of a kind that only a newer peer knows, to be passed over; undefined: no message at all. */
export function decodeMessage(bytes: Uint8Array): PeerMessage | 'unknown' | undefined {
  try {
    return read(fromBinary(PeerMessageSchema, bytes)) ?? 'unknown'
  } catch {
    return undefined // garbage: the session closes the stream with PEER_PROTOCOL
  }
}

type Body = NonNullable<MessageInitShape<typeof PeerMessageSchema>['body']>

function bodyOf(message: PeerMessage): Body {
  switch (message.kind) {
    case 'hello': {
      const { members, epoch, ...rest } = message.hello
      const value = { ...copied(rest), epoch: BigInt(epoch) }
      return {
        case: 'hello',
        value: members === undefined ? value : { ...value, members: membersInit(members) },
      }
    }
    case 'snapshot': {
      const { version, services, withdrawals, last } = message
      return {
        case: 'snapshot',
        value: {
          version: BigInt(version),
          services: services.map(serviceInit),
          withdrawals: withdrawals.map(withdrawalInit),
          last,
        },
      }
    }
    case 'delta': {
      const { version, baseVersion, upserts, withdrawals } = message
      return {
        case: 'delta',
        value: {
          version: BigInt(version),
          baseVersion: BigInt(baseVersion),
          upserts: upserts.map(serviceInit),
          withdrawals: withdrawals.map(withdrawalInit),
        },
      }
    }
    case 'ack':
      return {
        case: 'ack',
        value: { version: BigInt(message.version), rejected: [...message.rejected], held: message.held },
      }
    case 'heartbeat':
      return { case: 'heartbeat', value: { seq: BigInt(message.seq), dataView: DATA_VIEWS[message.data] } }
    case 'members':
      return { case: 'members', value: membersInit(message.members) }
    case 'trust-request':
      return { case: 'trustRequest', value: { csrPem: message.csrPem } }
    default: {
      const { answer } = message
      return answer.ok
        ? { case: 'trustGrant', value: { intermediatePem: answer.intermediatePem } }
        : { case: 'trustGrant', value: { refusedCode: answer.code, refusedMessage: answer.message } }
    }
  }
}

const DATA_VIEWS: Readonly<Record<DataState, ProtoDataView>> = {
  Healthy: ProtoDataView.HEALTHY,
  Lost: ProtoDataView.LOST,
  Unknown: ProtoDataView.UNSPECIFIED,
}

function copied(hello: {
  versionMin: number
  versionMax: number
  cluster: string
  features: readonly string[]
  gateways: readonly string[]
}): { versionMin: number; versionMax: number; cluster: string; features: string[]; gateways: string[] } {
  const { versionMin, versionMax, cluster } = hello
  return { versionMin, versionMax, cluster, features: [...hello.features], gateways: [...hello.gateways] }
}

function membersInit(members: Members): MessageInitShape<typeof MembersSchema> {
  return {
    members: members.members.map((member) => ({ ...member, gateways: [...member.gateways] })),
    removed: [...members.removed],
  }
}

const withdrawalInit = (each: Withdrawal): { namespace: string; name: string; uid: string; version: bigint } => ({
  namespace: each.namespace,
  name: each.name,
  uid: each.uid,
  version: BigInt(each.version),
})

function serviceInit(service: Export): MessageInitShape<typeof ExportedServiceSchema> {
  const { properties } = service
  return {
    namespace: service.namespace,
    name: service.name,
    uid: service.uid,
    createdAt: service.createdAt,
    type: service.type,
    ports: service.ports.map((port) => ({
      name: port.name,
      port: port.port,
      protocol: port.protocol,
      appProtocol: port.appProtocol ?? '',
    })),
    identities: [...service.identities],
    zones: service.zones.map((zone) => ({ ...zone })),
    properties: {
      sessionAffinity: properties.sessionAffinity,
      sessionAffinityTimeoutSeconds: properties.sessionAffinityTimeoutSeconds,
      internalTrafficPolicy: properties.internalTrafficPolicy,
      trafficDistribution: properties.trafficDistribution,
      labels: { ...properties.labels },
      annotations: { ...properties.annotations },
    },
  }
}

function read({ body }: ProtoMessage): PeerMessage | undefined {
  switch (body.case) {
    case 'hello': {
      const { versionMin, versionMax, cluster, epoch, features, members, gateways } = body.value
      const hello = { versionMin, versionMax, cluster, epoch: Number(epoch), features, gateways }
      return { kind: 'hello', hello: { ...hello, members: members === undefined ? undefined : readMembers(members) } }
    }
    case 'snapshot': {
      const { version, services, withdrawals, last } = body.value
      const read = { version: Number(version), services: services.map(readService) }
      return { kind: 'snapshot', ...read, withdrawals: withdrawals.map(readWithdrawal), last }
    }
    case 'delta': {
      const { version, baseVersion, upserts, withdrawals } = body.value
      const versions = { version: Number(version), baseVersion: Number(baseVersion) }
      return {
        kind: 'delta',
        ...versions,
        upserts: upserts.map(readService),
        withdrawals: withdrawals.map(readWithdrawal),
      }
    }
    case 'ack': {
      const { version, rejected, held } = body.value
      const rejections = rejected.map(({ namespace, name, code, message }) => ({ namespace, name, code, message }))
      return { kind: 'ack', version: Number(version), rejected: rejections, held }
    }
    case 'heartbeat':
      return { kind: 'heartbeat', seq: Number(body.value.seq), data: readDataView(body.value.dataView) }
    case 'members':
      return { kind: 'members', members: readMembers(body.value) }
    case 'trustRequest':
      return { kind: 'trust-request', csrPem: body.value.csrPem }
    case 'trustGrant': {
      const { intermediatePem, refusedCode, refusedMessage } = body.value
      const granted = refusedCode === ''
      return granted
        ? { kind: 'trust-grant', answer: { ok: true, intermediatePem } }
        : { kind: 'trust-grant', answer: { ok: false, code: refusedCode, message: refusedMessage } }
    }
    default:
      return undefined
  }
}

function readDataView(view: ProtoDataView): DataState {
  if (view === ProtoDataView.HEALTHY) return 'Healthy'
  return view === ProtoDataView.LOST ? 'Lost' : 'Unknown'
}

function readMembers(members: ProtoMembers): Members {
  return {
    members: members.members.map(({ cluster, trustDomain, gateways, signer }) => ({
      cluster,
      trustDomain,
      gateways,
      signer,
    })),
    removed: members.removed,
  }
}

const readWithdrawal = (each: { namespace: string; name: string; uid: string; version: bigint }): Withdrawal => ({
  namespace: each.namespace,
  name: each.name,
  uid: each.uid,
  version: Number(each.version),
})

function readService(service: ProtoService): Export {
  const { properties } = service
  return {
    namespace: service.namespace,
    name: service.name,
    uid: service.uid,
    createdAt: service.createdAt,
    type: service.type === 'Headless' ? 'Headless' : 'ClusterSetIP',
    ports: service.ports.map(({ name, port, protocol, appProtocol }) => ({
      name,
      port,
      protocol,
      ...(appProtocol === '' ? {} : { appProtocol }),
    })),
    identities: service.identities,
    zones: service.zones.map(({ cloud, region, zone, ready, total }) => ({ cloud, region, zone, ready, total })),
    properties: {
      sessionAffinity: properties?.sessionAffinity === 'ClientIP' ? 'ClientIP' : 'None',
      sessionAffinityTimeoutSeconds: properties?.sessionAffinityTimeoutSeconds ?? 0,
      internalTrafficPolicy: properties?.internalTrafficPolicy ?? '',
      trafficDistribution: properties?.trafficDistribution ?? '',
      labels: properties?.labels ?? {},
      annotations: properties?.annotations ?? {},
    },
  }
}
