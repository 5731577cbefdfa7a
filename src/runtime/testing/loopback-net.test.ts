import { describe, expect, it } from 'vitest'
import { claimLoopbackNet } from './loopback-net.ts'

describe('claimLoopbackNet', () => {
  it('never gives the same net twice while both are held', async () => {
    const nets = await Promise.all([claimLoopbackNet(), claimLoopbackNet(), claimLoopbackNet()])
    expect(new Set(nets).size).toBe(3)
    for (const net of nets) expect(net).toMatch(/^127\.\d+$/)
  })
})
