/**
 * Golden pairs of translate: every folder here with an `in.yaml` (mesh, proxy, Kubernetes objects) is a case whose whole
 * output is `out.yaml`. `UPDATE_GOLDEN=1` rewrites the outputs; the diff is then for a person to read.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { snapshotOf } from '../../src/controlplane/testing/snapshot-of.ts'
import { Translator } from '../../src/controlplane/translate/translator.ts'
import type { KubeObject } from '../../src/kube/object.ts'
import type { ProxyConfig, ResourceKind } from '../../src/model/config.ts'
import { decodeResource, encodeResource, type ModelResource } from '../../src/xds/codec/codec.ts'
import { tableOf } from '../../src/xds/encoded.ts'
import { SEND_ORDER } from '../../src/xds/resources.ts'

const ROOT = fileURLToPath(new URL('.', import.meta.url))
const isUpdate = process.env['UPDATE_GOLDEN'] === '1'

/** Options live in the case; an unknown field fails. */
const caseSchema = z.strictObject({
  mesh: z.strictObject({ mesh: z.string(), cluster: z.string(), trustDomain: z.string(), domain: z.string() }),
  proxy: z.strictObject({ role: z.enum(['sidecar', 'envoy', 'east-west', 'gateway', 'dns']), pod: z.string() }),
  roots: z.record(z.string(), z.array(z.string())).optional(),
  objects: z.array(z.looseObject({ kind: z.string(), metadata: z.looseObject({ name: z.string() }) })),
})

const cases = readdirSync(ROOT).filter((name) => existsSync(join(ROOT, name, 'in.yaml')))

function translate(name: string): ProxyConfig | undefined {
  const { mesh, proxy, roots, objects } = caseSchema.parse(parse(readFileSync(join(ROOT, name, 'in.yaml'), 'utf8')))
  const snapshot = snapshotOf({
    mesh,
    objects: objects as unknown as KubeObject[],
    ...(roots !== undefined && { roots }),
  })
  const pod = snapshot.pods.get(proxy.pod)
  if (pod === undefined) throw new Error(`${name}: the proxy's pod ${proxy.pod} is not among the objects`)
  return new Translator({ endpointIdKey: Buffer.from('golden') }).translate(snapshot, { role: proxy.role, pod })
}

const resourcesOf = (config: ProxyConfig, kind: ResourceKind): unknown[] => [...tableOf(config, kind).values()]

/** Null where nothing is served yet. */
function render(config: ProxyConfig | undefined): string {
  if (config === undefined) return stringify(null)
  // Hosts stand in their tables.
  // Hosts stand in their tables; names are for those that answer questions.
  const told = SEND_ORDER.filter((kind) => kind !== 'host' && (kind !== 'name' || config.names !== undefined))
  const kinds = told.map((kind) => [kind, resourcesOf(config, kind)] as const)
  return stringify(Object.fromEntries(kinds), { lineWidth: 0, aliasDuplicateObjects: false })
}

describe('translate', () => {
  it('has cases', () => {
    expect(cases.length).toBeGreaterThan(5)
  })

  it.each(cases)('%s', (name) => {
    const file = join(ROOT, name, 'out.yaml')
    const rendered = render(translate(name))
    if (isUpdate) writeFileSync(file, rendered)
    expect(rendered).toBe(existsSync(file) ? readFileSync(file, 'utf8') : '')
  })

  it.each(cases.filter((name) => !isForEnvoy(name)))('%s survives the wire', (name) => {
    const config = translate(name)
    if (config === undefined) return
    for (const kind of SEND_ORDER) {
      for (const value of resourcesOf(config, kind)) {
        const resource = { kind, value } as ModelResource
        expect(decodeResource(kind, encodeResource(resource))).toEqual(resource)
      }
    }
  })

  it.each(cases.filter(isForEnvoy))('%s says to our proxy by its paths what is not for it', (name) => {
    const config = translate(name)
    const refused = SEND_ORDER.flatMap((kind) =>
      resourcesOf(config as ProxyConfig, kind).flatMap((value) => {
        const decoded = decodeResource(kind, encodeResource({ kind, value } as ModelResource))
        return 'rejection' in decoded ? [`${kind}: ${decoded.rejection.path}`] : []
      }),
    )
    expect(refused.length).toBeGreaterThan(3)
    expect(refused.filter((line) => line.endsWith(': '))).toEqual([])
  })
})

/** Made for Envoy alone: our proxy does by itself what is said there. */
function isForEnvoy(name: string): boolean {
  return readFileSync(join(ROOT, name, 'in.yaml'), 'utf8').includes('role: envoy')
}
