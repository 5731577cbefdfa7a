/**
 * How a cluster chooses: lb_policy with its lb_config, common_lb_config and lb_subset_config, to the IR and back.
 * What Envoy reads from its runtime has its default here, since there is no runtime layer to read.
 */
import { create, type JsonObject } from '@bufbuild/protobuf'
import {
  type Cluster as ClusterMessage,
  Cluster_CommonLbConfigSchema as CommonSchema,
  Cluster_LbPolicy as LbPolicyMessage,
  type Cluster_LeastRequestLbConfig as LeastRequestMessage,
  Cluster_LeastRequestLbConfigSchema as LeastRequestSchema,
  Cluster_MaglevLbConfigSchema as MaglevSchema,
  Cluster_RingHashLbConfigSchema as RingHashSchema,
  Cluster_RoundRobinLbConfigSchema as RoundRobinSchema,
  type Cluster_LbSubsetConfig as SubsetsMessage,
  Cluster_LbSubsetConfig_LbSubsetFallbackPolicy as Fallback,
  Cluster_LbSubsetConfig_LbSubsetSelector_LbSubsetSelectorFallbackPolicy as SelectorFallback,
  Cluster_LbSubsetConfigSchema as SubsetsSchema,
  type Cluster_RingHashLbConfig as RingHashMessage,
  Cluster_RingHashLbConfig_HashFunction as HashFunction,
  type Cluster_SlowStartConfig as SlowStartMessage,
  Cluster_SlowStartConfigSchema as SlowStartSchema,
} from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import type {
  Cluster,
  LbPolicy,
  LeastRequest,
  Maglev,
  RingHash,
  SlowStart,
  Subsets,
  SubsetSelector,
} from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { present, refuse, require, type Shape, within } from './shape.ts'

const SLOW_START_SHAPE: Shape = {
  slow_start_window: true,
  aggression: { default_value: true },
  min_weight_percent: true,
}

export const BALANCING_SHAPE: Shape = {
  lb_policy: true,
  least_request_lb_config: {
    choice_count: true,
    active_request_bias: { default_value: true },
    slow_start_config: SLOW_START_SHAPE,
  },
  round_robin_lb_config: { slow_start_config: SLOW_START_SHAPE },
  ring_hash_lb_config: { minimum_ring_size: true, maximum_ring_size: true, hash_function: true },
  maglev_lb_config: { table_size: true },
  common_lb_config: { locality_weighted_lb_config: {}, healthy_panic_threshold: true },
  lb_subset_config: {
    fallback_policy: true,
    default_subset: true,
    subset_selectors: { keys: true, fallback_policy: true, fallback_keys_subset: true },
    locality_weight_aware: true,
    list_as_any: true,
  },
}

const POLICIES = {
  'least-request': LbPolicyMessage.LEAST_REQUEST,
  'round-robin': LbPolicyMessage.ROUND_ROBIN,
  random: LbPolicyMessage.RANDOM,
  'ring-hash': LbPolicyMessage.RING_HASH,
  maglev: LbPolicyMessage.MAGLEV,
} as const satisfies Record<LbPolicy, LbPolicyMessage>
const RING_SIZE_MIN = 1_024n // Envoy's defaults
const RING_SIZE_MAX = 8_388_608n
const TABLE_SIZE_MAX = 5_000_011n

type Balancing = Pick<
  Cluster,
  'lb' | 'leastRequest' | 'ringHash' | 'maglev' | 'slowStart' | 'panicPercent' | 'localityWeighted' | 'subsets'
>

export function encodeBalancing(
  cluster: Balancing,
): Pick<ClusterMessage, 'lbPolicy' | 'lbConfig' | 'commonLbConfig' | 'lbSubsetConfig'> {
  const { panicPercent, subsets } = cluster
  return {
    lbPolicy: POLICIES[cluster.lb],
    lbConfig: encodeLbConfig(cluster),
    commonLbConfig: create(CommonSchema, {
      localityConfigSpecifier:
        cluster.localityWeighted === false ? { case: undefined } : { case: 'localityWeightedLbConfig', value: {} },
      ...(panicPercent !== undefined && { healthyPanicThreshold: { value: panicPercent } }),
    }),
    ...(subsets !== undefined && { lbSubsetConfig: encodeSubsets(subsets) }),
  }
}

function encodeLbConfig(cluster: Balancing): ClusterMessage['lbConfig'] {
  const { lb, slowStart, ringHash, maglev } = cluster
  if (lb === 'least-request') return encodeLeastRequest(cluster)
  if (lb === 'round-robin' && slowStart !== undefined) {
    const value = create(RoundRobinSchema, { slowStartConfig: encodeSlowStart(slowStart) })
    return { case: 'roundRobinLbConfig', value }
  }
  if (lb === 'ring-hash' && ringHash !== undefined) {
    const { sizeMin, sizeMax } = ringHash
    const value = create(RingHashSchema, {
      ...(sizeMin !== undefined && { minimumRingSize: BigInt(sizeMin) }),
      ...(sizeMax !== undefined && { maximumRingSize: BigInt(sizeMax) }),
    })
    return { case: 'ringHashLbConfig', value }
  }
  if (lb === 'maglev' && maglev !== undefined) {
    return { case: 'maglevLbConfig', value: create(MaglevSchema, { tableSize: BigInt(maglev.tableSize) }) }
  }
  return { case: undefined }
}

function encodeLeastRequest({ leastRequest, slowStart }: Balancing): ClusterMessage['lbConfig'] {
  if (leastRequest === undefined && slowStart === undefined) return { case: undefined }
  const { choiceCount, activeRequestBias } = leastRequest ?? {}
  const value = create(LeastRequestSchema, {
    ...(choiceCount !== undefined && { choiceCount }),
    ...(activeRequestBias !== undefined && { activeRequestBias: runtimeDouble(activeRequestBias) }),
    ...(slowStart !== undefined && { slowStartConfig: encodeSlowStart(slowStart) }),
  })
  return { case: 'leastRequestLbConfig', value }
}

const runtimeDouble = (defaultValue: number): { defaultValue: number } => ({ defaultValue })

function encodeSlowStart({ windowMs, aggression, weightPercentMin }: SlowStart): SlowStartMessage {
  return create(SlowStartSchema, {
    slowStartWindow: encodeDuration(windowMs),
    ...(aggression !== undefined && { aggression: runtimeDouble(aggression) }),
    ...(weightPercentMin !== undefined && { minWeightPercent: { value: weightPercentMin } }),
  })
}

const FALLBACKS = {
  none: Fallback.NO_FALLBACK,
  any: Fallback.ANY_ENDPOINT,
  default: Fallback.DEFAULT_SUBSET,
} as const satisfies Record<Subsets['fallback'], Fallback>
const SELECTOR_FALLBACKS = {
  none: SelectorFallback.NO_FALLBACK,
  any: SelectorFallback.ANY_ENDPOINT,
  default: SelectorFallback.DEFAULT_SUBSET,
  keys: SelectorFallback.KEYS_SUBSET,
} as const satisfies Record<NonNullable<SubsetSelector['fallback']>, SelectorFallback>

function encodeSubsets(subsets: Subsets): SubsetsMessage {
  return create(SubsetsSchema, {
    fallbackPolicy: FALLBACKS[subsets.fallback],
    ...(subsets.defaultSubset !== undefined && { defaultSubset: subsets.defaultSubset as JsonObject }),
    subsetSelectors: subsets.selectors.map(({ keys, fallback, fallbackKeys }) => ({
      keys: [...keys],
      ...(fallback !== undefined && { fallbackPolicy: SELECTOR_FALLBACKS[fallback] }),
      ...(fallbackKeys !== undefined && { fallbackKeysSubset: [...fallbackKeys] }),
    })),
    localityWeightAware: subsets.localityWeightAware === true,
    listAsAny: subsets.listAsAny === true,
  })
}

export function decodeBalancing(path: string, message: ClusterMessage): Balancing {
  const { commonLbConfig: common, lbSubsetConfig } = message
  const lb = decodePolicy(within(path, 'lb_policy'), message.lbPolicy)
  const panic = common?.healthyPanicThreshold?.value
  const panicPath = within(path, 'common_lb_config.healthy_panic_threshold')
  if (panic !== undefined) requirePercent(panicPath, panic)
  const isWeighted = common?.localityConfigSpecifier.case === 'localityWeightedLbConfig'
  return {
    lb,
    ...decodeLbConfig(path, lb, message.lbConfig),
    ...(panic !== undefined && { panicPercent: panic }),
    ...(!isWeighted && { localityWeighted: false as const }),
    ...(lbSubsetConfig !== undefined && { subsets: decodeSubsets(within(path, 'lb_subset_config'), lbSubsetConfig) }),
  }
}

function decodePolicy(path: string, policy: LbPolicyMessage): LbPolicy {
  const names = Object.keys(POLICIES) as LbPolicy[]
  return names.find((name) => POLICIES[name] === policy) ?? refuse(path, `${LbPolicyMessage[policy]} is not supported`)
}

/** The configuration must be that of the policy; Envoy would not read any other. */
const CONFIG_OF = {
  'least-request': 'leastRequestLbConfig',
  'round-robin': 'roundRobinLbConfig',
  'ring-hash': 'ringHashLbConfig',
  maglev: 'maglevLbConfig',
  random: undefined,
} as const satisfies Record<LbPolicy, ClusterMessage['lbConfig']['case']>

function decodeLbConfig(path: string, lb: LbPolicy, config: ClusterMessage['lbConfig']): Partial<Balancing> {
  if (config.case === undefined) return {}
  require(within(path, 'lb_policy'), config.case === CONFIG_OF[lb], `has the configuration of another policy`)
  switch (config.case) {
    case 'leastRequestLbConfig': {
      const at = within(path, 'least_request_lb_config')
      return { ...decodeLeastRequest(at, config.value), ...decodeSlowStart(at, config.value.slowStartConfig) }
    }
    case 'roundRobinLbConfig':
      return decodeSlowStart(within(path, 'round_robin_lb_config'), config.value.slowStartConfig)
    case 'ringHashLbConfig':
      return { ringHash: decodeRingHash(within(path, 'ring_hash_lb_config'), config.value) }
    case 'maglevLbConfig':
      return { maglev: decodeMaglev(within(path, 'maglev_lb_config.table_size'), config.value.tableSize) }
    default:
      return config satisfies never
  }
}

function decodeLeastRequest(path: string, message: LeastRequestMessage): { leastRequest?: LeastRequest } {
  const { choiceCount, activeRequestBias } = message
  if (choiceCount === undefined && activeRequestBias === undefined) return {}
  require(within(path, 'choice_count'), choiceCount === undefined || choiceCount >= 2, 'must be at least 2')
  const bias = activeRequestBias?.defaultValue
  require(within(path, 'active_request_bias'), bias === undefined || bias >= 0, 'must not be negative')
  return {
    leastRequest: {
      ...(choiceCount !== undefined && { choiceCount }),
      ...(bias !== undefined && { activeRequestBias: bias }),
    },
  }
}

function decodeSlowStart(path: string, message: SlowStartMessage | undefined): { slowStart?: SlowStart } {
  // Without a window Envoy has no slow start either.
  if (message?.slowStartWindow === undefined) return {}
  const at = within(path, 'slow_start_config')
  const windowMs = decodeDuration(within(at, 'slow_start_window'), message.slowStartWindow)
  const aggression = message.aggression?.defaultValue
  require(within(at, 'aggression'), aggression === undefined || aggression > 0, 'must be above 0')
  const weightPercentMin = message.minWeightPercent?.value
  if (weightPercentMin !== undefined) requirePercent(within(at, 'min_weight_percent'), weightPercentMin)
  return {
    slowStart: {
      windowMs,
      ...(aggression !== undefined && { aggression }),
      ...(weightPercentMin !== undefined && { weightPercentMin }),
    },
  }
}

function decodeRingHash(path: string, message: RingHashMessage): RingHash {
  require(within(path, 'hash_function'), message.hashFunction === HashFunction.XX_HASH, 'only XX_HASH is supported')
  const { minimumRingSize: least, maximumRingSize: most } = message
  const [sizeMin, sizeMax] = [least ?? RING_SIZE_MIN, most ?? RING_SIZE_MAX]
  require(within(path, 'minimum_ring_size'), sizeMin <= RING_SIZE_MAX, `is above ${RING_SIZE_MAX}`)
  require(within(path, 'maximum_ring_size'), sizeMax <= RING_SIZE_MAX, `is above ${RING_SIZE_MAX}`)
  require(within(path, 'minimum_ring_size'), sizeMin <= sizeMax, 'is above maximum_ring_size')
  return {
    ...(least !== undefined && { sizeMin: Number(least) }),
    ...(most !== undefined && { sizeMax: Number(most) }),
  }
}

function decodeMaglev(path: string, size: bigint | undefined): Maglev {
  const tableSize = present(path, size)
  require(path, tableSize <= TABLE_SIZE_MAX, `is above ${TABLE_SIZE_MAX}`)
  require(path, isPrime(Number(tableSize)), 'must be a prime')
  return { tableSize: Number(tableSize) }
}

/** The places of a Maglev table are visited in steps, which reach all of them only if their number is prime. */
function isPrime(size: number): boolean {
  if (size < 3) return false
  for (let divisor = 2; divisor * divisor <= size; divisor++) if (size % divisor === 0) return false
  return true
}

function decodeSubsets(path: string, message: SubsetsMessage): Subsets {
  const fallback = nameOf(FALLBACKS, message.fallbackPolicy) ?? refuse(within(path, 'fallback_policy'), 'is unknown')
  const { defaultSubset } = message
  return {
    fallback,
    selectors: message.subsetSelectors.map((selector, index) =>
      decodeSelector(`${within(path, 'subset_selectors')}[${index}]`, selector),
    ),
    ...(defaultSubset !== undefined && { defaultSubset }),
    ...(message.localityWeightAware && { localityWeightAware: true as const }),
    ...(message.listAsAny && { listAsAny: true as const }),
  }
}

function decodeSelector(path: string, selector: SubsetsMessage['subsetSelectors'][number]): SubsetSelector {
  const { keys, fallbackPolicy, fallbackKeysSubset } = selector
  require(within(path, 'keys'), keys.length > 0, 'is required')
  const fallback = nameOf(SELECTOR_FALLBACKS, fallbackPolicy)
  const keysPath = within(path, 'fallback_keys_subset')
  if (fallback !== 'keys') require(keysPath, fallbackKeysSubset.length === 0, 'needs KEYS_SUBSET')
  else {
    const isFewer = fallbackKeysSubset.length > 0 && fallbackKeysSubset.length < keys.length
    const isPart = fallbackKeysSubset.every((key) => keys.includes(key))
    require(keysPath, isFewer && isPart, 'must be some of the keys, not all')
  }
  return {
    keys,
    ...(fallback !== undefined && { fallback }),
    ...(fallback === 'keys' && { fallbackKeys: fallbackKeysSubset }),
  }
}

function nameOf<Name extends string>(table: Readonly<Record<Name, number>>, value: number): Name | undefined {
  return (Object.keys(table) as Name[]).find((name) => table[name] === value)
}

function requirePercent(path: string, value: number): void {
  require(path, value >= 0 && value <= 100, 'must be from 0 to 100')
}
