/** Field types that own kinds share. Patterns stay within RE2, which the API server uses. */
import { z } from 'zod'

const LABEL = '[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?'

/** RFC 1123 subdomain, as model/identity.ts has it. */
export const subdomain = (): z.ZodString =>
  z
    .string()
    .max(253)
    .regex(new RegExp(`^${LABEL}(\\.${LABEL})*$`))

/** `host:port` or `[v6]:port`. */
export const hostPort = (): z.ZodString =>
  z
    .string()
    .max(300)
    .regex(/^([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}$/)

export const count = (): z.ZodNumber => z.number().int().min(0)

export const dateTime = (): z.ZodString => z.string().meta({ format: 'date-time' })

/** metav1.Condition; one per type. */
export const conditions = () =>
  z
    .array(
      z.object({
        type: z
          .string()
          .max(316)
          .regex(
            /^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/,
          ),
        status: z.enum(['True', 'False', 'Unknown']),
        reason: z
          .string()
          .min(1)
          .max(1024)
          .regex(/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/),
        message: z.string().max(32_768),
        lastTransitionTime: dateTime(),
        observedGeneration: count().exactOptional(),
      }),
    )
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] })
