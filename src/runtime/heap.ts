/** Settings of V8's heap for processes that idle most of their life. Not for tuning a hot path. */
import { setFlagsFromString } from 'node:v8'

/**
 * Keeps the young generation at the size it is born with; to be called before anything heavy is imported. Loading the
 * generated Envoy schemas would otherwise grow it to 48 MiB that an idle process never gives back (measured for a
 * sidecar: 110 MiB resident with growth, 82 MiB without).
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}
