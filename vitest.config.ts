import { defineConfig } from 'vitest/config'

/**
 * `unit` runs beside the sources and needs nothing but Node; `differential` holds the built product to Envoy's
 * outcomes; `e2e` starts real processes and takes minutes.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            '{src,federation,gateways,examples,tools}/**/*.test.ts',
            'test/*.test.ts',
            'test/{golden,fuzz,conformance,sim,istio,mesh,gateway-api}/**/*.test.ts',
          ],
          exclude: ['test/conformance/envoy/**'],
          testTimeout: 20_000,
          hookTimeout: 20_000,
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'differential',
          include: ['test/conformance/envoy/*.test.ts'],
          testTimeout: 60_000,
          maxConcurrency: 4,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 240_000,
          hookTimeout: 240_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
