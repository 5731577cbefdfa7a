import { fromJson } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { TrafficDirection } from '#gen/envoy/config/core/v3/base_pb.js'
import { ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js'
import { type Listener, PASSTHROUGH_CLUSTER } from '../../model/config.ts'
import { refusalOf } from '../testing/refusal.ts'
import { decodeListener, encodeListener } from './listener.ts'

const PASSTHROUGH = { kind: 'tcp', statPrefix: 'rest', cluster: PASSTHROUGH_CLUSTER } as const
const HTTP = { kind: 'http', statPrefix: 'outbound', mode: 'forward', routes: { rds: 'outbound' } } as const
const addresses = ['10.12.64.1', 'fd00::1']

const LISTENER: Listener = {
  name: 'capture-outbound',
  address: '127.0.0.1',
  port: 15001,
  capture: { direction: 'outbound', detectMs: 200 },
  chains: [
    { name: 'http:80', serverNames: [], destinations: { addresses, port: 80 }, filter: HTTP },
    { name: 'auto:81', serverNames: [], destinations: { addresses, port: 81 }, protocol: 'http', filter: HTTP },
    { name: 'tcp:81', serverNames: [], destinations: { addresses, port: 81 }, filter: PASSTHROUGH },
    { name: 'port:82', serverNames: [], destinations: { addresses: [], port: 82 }, filter: PASSTHROUGH },
    { name: 'http', serverNames: [], protocol: 'http', filter: HTTP },
    { name: 'rest', serverNames: [], filter: PASSTHROUGH },
  ],
}

describe('a captured listener', () => {
  it('comes back as it went', () => {
    expect(decodeListener('', encodeListener(LISTENER))).toEqual(LISTENER)
  })

  const change = (edit: (message: ReturnType<typeof encodeListener>) => void): string => {
    const message = encodeListener(LISTENER)
    edit(message)
    return refusalOf(() => decodeListener('', message)).path
  }

  it('is refused by path where Envoy would do something else', () => {
    expect(change((message) => message.listenerFilters.pop())).toBe('listener_filters')
    expect(change((message) => (message.continueOnListenerFiltersTimeout = false))).toBe(
      'continue_on_listener_filters_timeout',
    )
    expect(change((message) => (message.trafficDirection = TrafficDirection.UNSPECIFIED))).toBe('traffic_direction')
    expect(change((message) => message.filterChains[1]?.filterChainMatch?.applicationProtocols.pop())).toBe(
      'filter_chains[1].filter_chain_match.application_protocols',
    )
    const wide = change((message) => {
      const range = message.filterChains[0]?.filterChainMatch?.prefixRanges[0]
      if (range !== undefined) range.prefixLen = 24
    })
    expect(wide).toBe('filter_chains[0].filter_chain_match.prefix_ranges[0]')
    const twice = change((message) => message.filterChains.push(...message.filterChains.slice(-1)))
    expect(twice).toBe('filter_chains[6].filter_chain_match')
  })

  it('alone has these fields', () => {
    const metadata = { filter_metadata: { 'isthmus.listener': {} } }
    const json = {
      name: 'plain',
      metadata,
      listener_filters: [],
      filter_chains: [{ name: 'a' }],
      traffic_direction: 'INBOUND',
    }
    const refused = refusalOf(() => decodeListener('', fromJson(ListenerSchema, json)))
    expect(refused.path).toBe('traffic_direction')
  })
})
