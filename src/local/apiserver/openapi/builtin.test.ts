import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { compileSchema } from '../crd/structural.ts'
import { builtinSchema } from './builtin.ts'

interface Manifest {
  apiVersion: string
  kind: string
}

/** What Strict field validation and decoding would say. */
function problems(manifest: Manifest): string[] {
  const [version = '', group = ''] = manifest.apiVersion.split('/').toReversed()
  const schema = builtinSchema(group, version, manifest.kind)
  if (schema === undefined) return [`no schema of ${manifest.kind}`]
  const compiled = compileSchema(schema)
  const object = structuredClone(manifest) as unknown as Record<string, unknown>
  return [...compiled.prune(object), ...compiled.validate(object).map((error) => `${error.path} ${error.reason}`)]
}

const MANIFESTS = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}, annotations: {a/b: c}, creationTimestamp: "2024-01-01T00:00:00Z"}
spec:
  replicas: 2
  revisionHistoryLimit: 3
  selector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: In, values: [front]}]}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, fsGroup: 2000, seccompProfile: {type: RuntimeDefault}}
      topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}}]
      affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: h, labelSelector: {}}}]}}
      tolerations: [{key: a, operator: Exists, effect: NoSchedule, tolerationSeconds: 30}]
      initContainers: [{name: init, image: i, command: [sh, -c, "true"], restartPolicy: Always}]
      containers:
      - name: web
        image: web:1
        imagePullPolicy: IfNotPresent
        ports: [{name: http, containerPort: 8080, protocol: TCP}]
        env:
        - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
        - {name: KEY, valueFrom: {secretKeyRef: {name: s, key: k, optional: true}}}
        envFrom: [{prefix: P_, configMapRef: {name: c}}]
        resources: {requests: {cpu: 0.5, memory: 64Mi}, limits: {cpu: 1}}
        readinessProbe: {httpGet: {path: /ready, port: http, httpHeaders: [{name: a, value: b}]}, periodSeconds: 1}
        livenessProbe: {tcpSocket: {port: 8080}, failureThreshold: 3}
        lifecycle: {preStop: {exec: {command: [sleep, "1"]}}}
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        volumeMounts: [{name: token, mountPath: /t, readOnly: true}]
      volumes:
      - {name: token, projected: {defaultMode: 420, sources: [{serviceAccountToken: {audience: a, expirationSeconds: 3600, path: token}}, {configMap: {name: c, items: [{key: k, path: p}]}}, {downwardAPI: {items: [{path: l, fieldRef: {fieldPath: metadata.labels}}]}}]}}
      - {name: mem, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
      - {name: sec, secret: {secretName: s}}
---
apiVersion: v1
kind: Service
metadata: {name: web, ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: u, controller: true, blockOwnerDeletion: true}], finalizers: [a/b]}
spec: {type: LoadBalancer, clusterIP: None, clusterIPs: [None], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, ports: [{name: http, port: 80, targetPort: http, appProtocol: http, nodePort: 30000}], selector: {app: web}, sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 10}}, internalTrafficPolicy: Cluster, publishNotReadyAddresses: true, externalTrafficPolicy: Local}
status: {loadBalancer: {ingress: [{ip: 1.2.3.4, ports: [{port: 80, protocol: TCP}]}]}, conditions: [{type: A, status: "True", reason: R, message: m, lastTransitionTime: "2024-01-01T00:00:00Z"}]}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
type: Opaque
data: {a: Yg==}
stringData: {c: d}
immutable: true
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {a: b}
binaryData: {x: AAE=}
---
apiVersion: v1
kind: Node
metadata: {name: n, labels: {topology.kubernetes.io/zone: z}}
spec: {podCIDR: 10.0.0.0/24, providerID: "aws:///z/i", taints: [{key: k, effect: NoSchedule}], unschedulable: true}
status: {capacity: {cpu: "4", pods: 110}, addresses: [{type: InternalIP, address: 1.2.3.4}], conditions: [{type: Ready, status: "True"}], nodeInfo: {architecture: a, bootID: b, containerRuntimeVersion: c, kernelVersion: k, kubeProxyVersion: p, kubeletVersion: k, machineID: m, operatingSystem: o, osImage: i, systemUUID: u}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: e}
addressType: IPv4
endpoints: [{addresses: [1.2.3.4], conditions: {ready: true, serving: true, terminating: false}, zone: z, nodeName: n, hostname: h, targetRef: {kind: Pod, name: p, namespace: n, uid: u}, hints: {forZones: [{name: z}]}}]
ports: [{name: http, port: 80, protocol: TCP, appProtocol: h2c}]
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: l}
spec: {holderIdentity: me, leaseDurationSeconds: 15, acquireTime: "2024-01-01T00:00:00.000000Z", renewTime: "2024-01-01T00:00:00.123456Z", leaseTransitions: 1}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: r}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}
rules: [{apiGroups: [""], resources: [pods], verbs: [get], resourceNames: [a]}, {nonResourceURLs: [/x], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: r}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}
subjects: [{kind: ServiceAccount, name: s, namespace: n}, {kind: Group, apiGroup: rbac.authorization.k8s.io, name: g}]
---
apiVersion: v1
kind: Event
metadata: {name: e}
involvedObject: {kind: Pod, name: p, namespace: n, fieldPath: "spec.containers{a}"}
reason: Started
message: m
type: Normal
count: 2
firstTimestamp: "2024-01-01T00:00:00Z"
source: {component: kubelet, host: n}
series: {count: 1, lastObservedTime: "2024-01-01T00:00:00.000000Z"}
---
apiVersion: authentication.k8s.io/v1
kind: TokenRequest
spec: {audiences: [a], expirationSeconds: 600, boundObjectRef: {kind: Pod, apiVersion: v1, name: p, uid: u}}
---
apiVersion: authorization.k8s.io/v1
kind: SubjectAccessReview
spec: {user: u, groups: [g], extra: {k: [v]}, resourceAttributes: {namespace: n, verb: get, group: "", resource: pods}}
---
apiVersion: autoscaling/v1
kind: Scale
metadata: {name: s}
spec: {replicas: 3}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: w}
webhooks: [{name: a.b.c, admissionReviewVersions: [v1], sideEffects: None, clientConfig: {service: {name: s, namespace: n, path: /x, port: 443}, caBundle: YQ==}, rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods], scope: Namespaced}], namespaceSelector: {matchLabels: {a: b}}, failurePolicy: Fail, timeoutSeconds: 5}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.x.dev}
spec:
  group: x.dev
  scope: Namespaced
  names: {plural: things, kind: Thing}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {a: {type: object, additionalProperties: {type: string, x-kubernetes-int-or-string: true}}, b: {type: object, additionalProperties: true}, c: {type: array, items: {type: string, default: [1]}, x-kubernetes-validations: [{rule: "true", message: m}]}}}}, subresources: {status: {}}, additionalPrinterColumns: [{name: A, type: string, jsonPath: .a, priority: 1}]}]
`

describe('builtinSchema', () => {
  const manifests = parseAllDocuments(MANIFESTS).map((document) => document.toJS() as Manifest)

  it.each(manifests.map((manifest) => [manifest.kind, manifest] as const))('lets a full %s pass', (_, manifest) => {
    expect(problems(manifest)).toEqual([])
  })

  it.each<[string, Manifest & Record<string, unknown>, string[]]>([
    [
      'a typo',
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        spec: { selector: {}, template: { spec: { containers: [{ name: 'a', imagee: 'b' }] } } },
      },
      ['spec.template.spec.containers[0].imagee'],
    ],
    [
      'a typo in metadata',
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', label: {} } },
      ['metadata.label'],
    ],
    [
      'a typo in an owner',
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u', control: true }] },
      },
      ['metadata.ownerReferences[0].control'],
    ],
    ['a number for text', { apiVersion: 'v1', kind: 'ConfigMap', data: { a: 1 } }, ['data.a FieldValueTypeInvalid']],
    [
      'a fraction of a port',
      { apiVersion: 'v1', kind: 'Service', spec: { ports: [{ port: 1.5 }] } },
      ['spec.ports[0].port FieldValueTypeInvalid'],
    ],
    [
      'a broken quantity',
      {
        apiVersion: 'v1',
        kind: 'Pod',
        spec: { containers: [{ name: 'a', resources: { limits: { cpu: '1 core' } } }] },
      },
      ['spec.containers[0].resources.limits.cpu FieldValueTypeInvalid'],
    ],
    ['broken base64', { apiVersion: 'v1', kind: 'Secret', data: { a: '%' } }, ['data.a FieldValueTypeInvalid']],
    [
      'a Lease time of three digits',
      { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', spec: { renewTime: '2024-01-01T00:00:00.123Z' } },
      ['spec.renewTime FieldValueTypeInvalid'],
    ],
  ])('finds %s', (_, manifest, expected) => {
    expect(problems(manifest)).toEqual(expected)
  })

  it('knows kinds, not the parts of kinds', () => {
    expect(builtinSchema('', 'v1', 'PodSpec')).toBeUndefined()
    expect(builtinSchema('', 'v2', 'Pod')).toBeUndefined()
    expect(builtinSchema('constructor', 'v1', 'Pod')).toBeUndefined()
  })
})
