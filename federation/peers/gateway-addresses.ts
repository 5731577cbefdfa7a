/**
 * Where peers reach this cluster's east-west gateways, pure: the Service's annotation when the load balancer's address is
 * not the reachable one, else what the load balancer says.
 */
import type { Service } from '../../src/kube/kinds.ts'
import { ANNOTATIONS, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { PORTS } from '../../src/model/ports.ts'
import { parseHostPort } from '../../src/runtime/network.ts'

const ADDRESSES_MAX = 16

export const GATEWAY_SERVICE = { name: SYSTEM_ACCOUNTS.eastWest, namespace: SYSTEM_NAMESPACE } as const

export function gatewayAddresses(service: Service | undefined): readonly string[] {
  const annotated = service?.metadata.annotations?.[ANNOTATIONS.gatewayAddress]
  const addresses =
    annotated === undefined
      ? (service?.status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }) => ip ?? hostname ?? [])
      : annotated.split(',').map((address) => address.trim())
  return addresses.flatMap((address) => withPort(address) ?? []).slice(0, ADDRESSES_MAX)
}

function withPort(address: string): string | undefined {
  if (parseHostPort(address) !== undefined) return address
  const host = address.includes(':') && !address.startsWith('[') ? `[${address}]` : address
  const text = `${host}:${PORTS.eastWest}`
  return parseHostPort(text) === undefined ? undefined : text
}
