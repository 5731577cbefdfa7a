/**
 * Table D row 9, in a minute instead of ten: no control plane anywhere, proxies killed meanwhile, and no request lost
 * that anyone could have saved. The long run is control-plane-loss/run.ts.
 */
import { expect, it } from 'vitest'
import { isInstalled } from '../harness/process.ts'
import { measureLoss } from './control-plane-loss/loss.ts'

const hasKubectl = await isInstalled('kubectl', ['version', '--client'])

it.skipIf(!hasKubectl)('loses at most one request in ten thousand without any control plane', async () => {
  const loss = await measureLoss({ seconds: 60, kills: 3 })
  expect(loss.requests).toBeGreaterThan(4_000)
  expect(loss.remote).toBe(loss.requests - loss.failed.length)
  expect(loss.killed).toBe(3)
  expect(loss.startedFromDisk).toBe(true)
  expect(loss.failed.length / loss.requests).toBeLessThanOrEqual(0.0001)
})
