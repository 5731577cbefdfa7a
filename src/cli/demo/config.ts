/**
 * The demo's script as data: clusters, manifests, load, faults. Strict: an unknown field is an error that names it.
 * The default is examples/shop/demo.yaml; `--config FILE` takes another one, with manifests beside it.
 */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { MeshError, messageOf } from '../../runtime/errors.ts'

const label = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'must be an RFC 1123 label')

const clusterSchema = z.strictObject({
  name: label,
  cloud: label,
  region: label,
  zones: z.array(label).min(1).max(8),
  /** Manifest files, relative to the configuration file. */
  apply: z.array(z.string()).default([]),
  /** `host:port` where peers reach this cluster's gateway, when not at its load balancer. */
  gatewayAddress: z.string().optional(),
})

const faultSchema = z.discriminatedUnion('kind', [
  /** SIGKILL of every process of the pods with these labels; restarts are held back until the heal. */
  z.strictObject({ kind: z.literal('kill-pods'), cluster: label, service: label, labels: z.string() }),
  /** Gateway, control plane and federation of the cluster stop answering without closing. */
  z.strictObject({ kind: z.literal('cut-cluster'), cluster: label, service: label }),
])

const demoSchema = z.strictObject({
  mesh: z.string().default('demo.mesh'),
  clusters: z.array(clusterSchema).min(2).max(8),
  signer: label,
  load: z.strictObject({
    cluster: label,
    namespace: label,
    deployment: label,
    ratePerSecond: z.number().min(1).max(2_000),
  }),
  services: z.array(label).min(1),
  /** Length of each phase: before, fault, healed, fault, healed … */
  phaseSeconds: z.number().min(1).max(600),
  /** A phase with fewer requests proves too little; the run fails. */
  requestsPerPhaseMin: z.number().min(1).default(2_000),
  faults: z.array(faultSchema).max(10),
})

export type DemoFault = z.infer<typeof faultSchema>
export type DemoCluster = z.infer<typeof clusterSchema>
export interface DemoConfig extends z.infer<typeof demoSchema> {
  /** Directory of the manifests. */
  readonly directory: string
}

export async function readDemoConfig(file: string): Promise<DemoConfig> {
  const config = parseDemoConfig(await text(file), file)
  return { ...config, directory: dirname(resolve(file)) }
}

export function parseDemoConfig(source: string, file: string): z.infer<typeof demoSchema> {
  let document: unknown
  try {
    document = parse(source)
  } catch (error) {
    throw new MeshError('DEMO_CONFIG', `${file}: ${messageOf(error)}`)
  }
  const result = demoSchema.safeParse(document)
  if (!result.success) {
    const problems = result.error.issues.map((issue) => `${issue.path.join('.') || 'document'}: ${issue.message}`)
    throw new MeshError('DEMO_CONFIG', `${file}: ${problems.join('; ')}`)
  }
  checkNames(result.data, file)
  return result.data
}

function checkNames(config: z.infer<typeof demoSchema>, file: string): void {
  const names = new Set(config.clusters.map(({ name }) => name))
  if (names.size < config.clusters.length)
    throw new MeshError('DEMO_CONFIG', `${file}: two clusters have the same name`)
  const used = [config.signer, config.load.cluster, ...config.faults.map(({ cluster }) => cluster)]
  const unknown = used.find((name) => !names.has(name))
  if (unknown !== undefined)
    throw new MeshError('DEMO_CONFIG', `${file}: "${unknown}" is not the name of a cluster in the file`)
  const service = config.faults.find((fault) => !config.services.includes(fault.service))?.service
  if (service !== undefined)
    throw new MeshError('DEMO_CONFIG', `${file}: "${service}" is not one of services: ${config.services.join(', ')}`)
}

async function text(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw MeshError.from(error, 'DEMO_CONFIG', file)
  }
}
