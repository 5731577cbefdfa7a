/** Field types that Istio's networking kinds share. Bounds are Istio's; what a schema cannot say stands in kube/advice. */
import { z } from 'zod'

/** Istio takes protobuf's form (`1.5s`) and Go's (`250ms`, `1h30m`); kube/durations.ts reads both. */
export const duration = (): z.ZodString =>
  z
    .string()
    .max(32)
    .regex(/^-?([0-9]{1,9}(\.[0-9]{1,9})?(h|m|s|ms|us|ns)){1,4}$/)

export const portNumber = () => z.number().int().min(1).max(65_535)

export const uint32 = () => z.number().int().min(0).max(4_294_967_295)

export const int32 = () => z.number().int().min(-2_147_483_648).max(2_147_483_647)

export const stringMap = () => z.record(z.string(), z.string())

/** One of them. */
export const stringMatch = () =>
  z.strictObject({
    exact: z.string().exactOptional(),
    prefix: z.string().exactOptional(),
    regex: z.string().max(1024).exactOptional().describe('RE2 syntax; matches the whole text.'),
  })

/** A share of requests in percent, with fractions. */
export const percent = () => z.strictObject({ value: z.number().exactOptional() })

export const portSelector = () => z.strictObject({ number: portNumber().exactOptional() })

export const destination = () =>
  z.strictObject({
    host: z.string().min(1).describe('A name as applications call it; short ones are of the namespace of this object.'),
    subset: z.string().exactOptional(),
    port: portSelector().exactOptional(),
  })

export const exportTo = () =>
  z.array(z.string()).max(256).describe('Namespaces that see it: `.` this one, `*` all, `~` none.')

export const labelSelector = () => z.strictObject({ labels: stringMap().exactOptional() })

export const matchLabels = () => z.strictObject({ matchLabels: stringMap().exactOptional() })

export const NETWORKING_VERSIONS: readonly string[] = ['v1', 'v1beta1', 'v1alpha3']
