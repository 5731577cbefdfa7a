/** Field types that Istio's security and telemetry kinds share. Patterns stay within RE2, which the API server uses. */
import { z } from 'zod'

/** One per object; a name is what Istio's own CRDs allow. */
export const matchLabels = () => z.record(z.string(), z.string().max(63))

export const workloadSelector = () =>
  z
    .strictObject({ matchLabels: matchLabels().exactOptional() })
    .describe('Pods of the own namespace; in a root namespace, of all. Absent: every pod there.')

export const targetRef = () =>
  z.strictObject({
    group: z.string().max(253).exactOptional(),
    kind: z.string().min(1).max(63),
    name: z.string().min(1).max(253),
    namespace: z.string().max(63).exactOptional(),
  })

export const targetRefs = () => z.array(targetRef()).max(16)

/** A duration as protobuf writes it in JSON: `1.5s`. */
export const seconds = (): z.ZodString =>
  z
    .string()
    .max(32)
    .regex(/^[0-9]{1,12}(\.[0-9]{1,9})?s$/)

/** A string of a list: one value of a rule. */
export const text = (max = 2048): z.ZodString => z.string().min(1).max(max)

export const texts = (max = 512) => z.array(text()).max(max).exactOptional()
