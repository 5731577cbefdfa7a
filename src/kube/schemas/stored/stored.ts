/**
 * Kinds of Istio's API that are stored and never read: they configure Envoy itself or its extensions, or make
 * WorkloadEntries, which nothing here does. Manifests that hold them apply; each object gets a condition that says so.
 */
import { z } from 'zod'
import type { KubeObject, Resource } from '../../object.ts'
import type { AnyDefinition } from '../definition.ts'
import { AGE_COLUMN, istioKind } from '../istio.ts'

type StoredResource = Resource<KubeObject>

const resource = (group: string, version: string, kind: string, plural: string): StoredResource => ({
  group: `${group}.istio.io`,
  version,
  kind,
  plural,
  namespaced: true,
})

const anySpec = () => z.looseObject({}).meta({ 'x-kubernetes-preserve-unknown-fields': true })

export const ENVOY_FILTERS = resource('networking', 'v1alpha3', 'EnvoyFilter', 'envoyfilters')
export const WASM_PLUGINS = resource('extensions', 'v1alpha1', 'WasmPlugin', 'wasmplugins')
export const TRAFFIC_EXTENSIONS = resource('extensions', 'v1alpha1', 'TrafficExtension', 'trafficextensions')
export const PROXY_CONFIGS = resource('networking', 'v1beta1', 'ProxyConfig', 'proxyconfigs')
export const WORKLOAD_GROUPS = resource('networking', 'v1', 'WorkloadGroup', 'workloadgroups')

const stored = (
  kind: StoredResource,
  description: string,
  more: Partial<Omit<AnyDefinition, 'resource'>> = {},
): AnyDefinition =>
  istioKind({
    resource: kind,
    description: `${description} Stored, not acted upon.`,
    spec: anySpec(),
    support: 'stored',
    ...more,
  })

export const STORED_KINDS: readonly AnyDefinition[] = [
  stored(ENVOY_FILTERS, 'Patches to the configuration of Envoy.'),
  stored(WASM_PLUGINS, 'WebAssembly modules in the filter chain.'),
  stored(TRAFFIC_EXTENSIONS, 'Extensions in the filter chain.'),
  stored(PROXY_CONFIGS, 'Settings of single proxies: concurrency, environment, image.'),
  stored(WORKLOAD_GROUPS, 'A template of WorkloadEntries.', {
    versions: ['v1', 'v1beta1', 'v1alpha3'],
    shortNames: ['wg'],
    columns: [AGE_COLUMN, { name: 'Address', type: 'string', jsonPath: '.spec.template.address' }],
  }),
]
