/**
 * CRDs of the Multi-Cluster Services API (KEP-1645, release v0.5.0) and of the About API (KEP-2149), as data: standards of
 * others, written out here from reference/mcs-api.md so that an install needs no download. Labels keep newer installs
 * from being downgraded.
 */
import type { CrdVersion, CustomResourceDefinition, JsonSchema, PrinterColumn } from '../kinds.ts'

const MCS_GROUP = 'multicluster.x-k8s.io'
const MCS_LABELS = {
  'multicluster.x-k8s.io/release-version': 'v0.5.0',
  'multicluster.x-k8s.io/crd-schema-revision': '0',
}
const AGE: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }

const CONDITION: JsonSchema = {
  type: 'object',
  required: ['lastTransitionTime', 'message', 'reason', 'status', 'type'],
  properties: {
    lastTransitionTime: { type: 'string', format: 'date-time' },
    message: { type: 'string', maxLength: 32_768 },
    observedGeneration: { type: 'integer', format: 'int64', minimum: 0 },
    // Commas join the reasons of several conflicts.
    reason: { type: 'string', minLength: 1, maxLength: 1024, pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$' },
    status: { type: 'string', enum: ['True', 'False', 'Unknown'] },
    type: {
      type: 'string',
      maxLength: 316,
      pattern:
        '^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$',
    },
  },
}

const CONDITIONS: JsonSchema = {
  type: 'array',
  items: CONDITION,
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
}

const STRING_MAP: JsonSchema = { type: 'object', additionalProperties: { type: 'string' } }

const SERVICE_EXPORT: JsonSchema = {
  type: 'object',
  description: 'Declares that the Service of the same namespace and name is exported to the clusterset.',
  properties: {
    apiVersion: { type: 'string' },
    kind: { type: 'string' },
    metadata: { type: 'object' },
    spec: {
      type: 'object',
      properties: {
        exportedLabels: { ...STRING_MAP, description: 'Labels that the import carries.' },
        exportedAnnotations: { ...STRING_MAP, description: 'Annotations that the import carries.' },
      },
    },
    status: { type: 'object', properties: { conditions: CONDITIONS } },
  },
}

const SERVICE_IMPORT_PORT: JsonSchema = {
  type: 'object',
  required: ['port'],
  properties: {
    name: { type: 'string' },
    protocol: { type: 'string', default: 'TCP' },
    appProtocol: { type: 'string' },
    port: { type: 'integer', format: 'int32' },
  },
}

const SERVICE_IMPORT: JsonSchema = {
  type: 'object',
  description: 'A service of the clusterset as seen from this cluster; written by the controller alone.',
  required: ['spec'],
  properties: {
    apiVersion: { type: 'string' },
    kind: { type: 'string' },
    metadata: { type: 'object' },
    spec: {
      type: 'object',
      required: ['ports', 'type'],
      properties: {
        type: { type: 'string', enum: ['ClusterSetIP', 'Headless'] },
        ports: { type: 'array', items: SERVICE_IMPORT_PORT, 'x-kubernetes-list-type': 'atomic' },
        ips: { type: 'array', items: { type: 'string' }, maxItems: 2, 'x-kubernetes-list-type': 'atomic' },
        ipFamilies: { type: 'array', items: { type: 'string' }, maxItems: 2, 'x-kubernetes-list-type': 'atomic' },
        sessionAffinity: { type: 'string' },
        sessionAffinityConfig: {
          type: 'object',
          properties: {
            clientIP: {
              type: 'object',
              properties: { timeoutSeconds: { type: 'integer', format: 'int32', minimum: 1, maximum: 86_400 } },
            },
          },
        },
        internalTrafficPolicy: { type: 'string' },
        trafficDistribution: { type: 'string' },
      },
    },
    status: {
      type: 'object',
      properties: {
        clusters: {
          type: 'array',
          items: { type: 'object', required: ['cluster'], properties: { cluster: { type: 'string' } } },
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['cluster'],
        },
        conditions: CONDITIONS,
        // In the KEP, not yet in the v0.5.0 CRD (mcs-api.md, 0.7): kept, so that it is not pruned here.
        endpointSliceObjects: { type: 'string', enum: ['Present', 'Absent'] },
      },
    },
  },
}

const CLUSTER_PROPERTY: JsonSchema = {
  type: 'object',
  description: 'A property of the cluster, such as its id in the clusterset.',
  required: ['spec'],
  properties: {
    apiVersion: { type: 'string' },
    kind: { type: 'string' },
    metadata: { type: 'object' },
    spec: { type: 'object', required: ['value'], properties: { value: { type: 'string', minLength: 1 } } },
    status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  },
}

export function mcsCrds(): readonly CustomResourceDefinition[] {
  return [
    crd({
      group: MCS_GROUP,
      kind: 'ServiceExport',
      plural: 'serviceexports',
      scope: 'Namespaced',
      shortNames: ['svcex', 'svcexport'],
      labels: MCS_LABELS,
      versions: twoVersions(SERVICE_EXPORT, [AGE]),
    }),
    crd({
      group: MCS_GROUP,
      kind: 'ServiceImport',
      plural: 'serviceimports',
      scope: 'Namespaced',
      shortNames: ['svcim', 'svcimport'],
      labels: MCS_LABELS,
      versions: twoVersions(SERVICE_IMPORT, [
        { name: 'Type', type: 'string', jsonPath: '.spec.type', description: 'ClusterSetIP or Headless' },
        { name: 'IP', type: 'string', jsonPath: '.spec.ips', description: 'Virtual IPs' },
        AGE,
      ]),
    }),
    crd({
      group: 'about.k8s.io',
      kind: 'ClusterProperty',
      plural: 'clusterproperties',
      scope: 'Cluster',
      shortNames: [],
      labels: {},
      annotations: {
        'api-approved.kubernetes.io':
          'https://github.com/kubernetes/enhancements/tree/master/keps/sig-multicluster/2149-clusterid',
      },
      versions: twoVersions(CLUSTER_PROPERTY, [
        { name: 'value', type: 'string', jsonPath: '.spec.value' },
        { ...AGE, name: 'age' },
      ]),
    }),
  ]
}

interface CrdParts {
  readonly group: string
  readonly kind: string
  readonly plural: string
  readonly scope: 'Namespaced' | 'Cluster'
  readonly shortNames: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly versions: CrdVersion[]
}

function crd(parts: CrdParts): CustomResourceDefinition {
  const { group, kind, plural, scope, versions } = parts
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${plural}.${group}`,
      labels: { ...parts.labels },
      ...(parts.annotations === undefined ? {} : { annotations: { ...parts.annotations } }),
    },
    spec: {
      group,
      scope,
      names: {
        plural,
        singular: kind.toLowerCase(),
        kind,
        listKind: `${kind}List`,
        ...(parts.shortNames.length === 0 ? {} : { shortNames: [...parts.shortNames] }),
      },
      // The versions differ in nothing but their name.
      conversion: { strategy: 'None' },
      versions,
    },
  }
}

function twoVersions(schema: JsonSchema, columns: readonly PrinterColumn[]): CrdVersion[] {
  return ['v1beta1', 'v1alpha1'].map((name) => ({
    name,
    served: true,
    storage: name === 'v1beta1',
    schema: { openAPIV3Schema: structuredClone(schema) },
    subresources: { status: {} },
    additionalPrinterColumns: [...columns],
  }))
}
