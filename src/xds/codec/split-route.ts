/**
 * A route table as a resource: whole, or split (VHDS), where it says only how many virtual hosts travel as resources of
 * their own. The count lets a client tell a table that is still arriving from one that is complete; Envoy needs none and
 * ignores it. Split tables of other servers are refused: nothing would say when they are complete.
 */
import { create } from '@bufbuild/protobuf'
import { type RouteConfiguration, RouteConfigurationSchema, VhdsSchema } from '#gen/envoy/config/route/v3/route_pb.js'
import type { RouteTable } from '../../model/config.ts'
import { ADS_SHAPE, decodeMetadata, encodeAds, FieldReader, requireAds } from './common.ts'
import { decodeRoute, encodeRoute, ROUTE_SHAPE } from './route.ts'
import { require, type Shape, within } from './shape.ts'

const SPLIT_METADATA = 'isthmus.routes'

export const ROUTE_RESOURCE_SHAPE: Shape = {
  ...ROUTE_SHAPE,
  vhds: { config_source: ADS_SHAPE },
  metadata: { filter_metadata: true },
}

export function encodeRouteResource(table: RouteTable): RouteConfiguration {
  const message = encodeRoute(table)
  const { split } = table
  if (split === undefined) return message
  const { vhds, metadata } = create(RouteConfigurationSchema, {
    vhds: create(VhdsSchema, { configSource: encodeAds() }),
    metadata: { filterMetadata: { [SPLIT_METADATA]: { hosts: split.hosts } } },
  })
  return Object.assign(message, { vhds, metadata })
}

export function decodeRouteResource(path: string, message: RouteConfiguration): RouteTable {
  const table = decodeRoute(path, message)
  const at = within(path, 'metadata')
  const facts = decodeMetadata(at, message.metadata, [SPLIT_METADATA])[SPLIT_METADATA]
  const isOurs = facts !== undefined
  require(within(path, 'vhds'), isOurs === (message.vhds !== undefined), 'is supported of our own control plane only')
  if (!isOurs) return table
  requireAds(within(path, 'vhds.config_source'), message.vhds?.configSource)
  require(within(path, 'virtual_hosts'), table.hosts.length === 0, 'and vhds exclude each other')
  const reader = new FieldReader(within(at, `filter_metadata["${SPLIT_METADATA}"]`), facts)
  const hosts = reader.count('hosts')
  reader.end()
  return { ...table, split: { hosts } }
}
