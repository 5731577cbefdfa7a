/** Starts victim.ts and asks it what it uses. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface Usage {
  /** Heap and buffers. */
  readonly bytes: number
  readonly rss: number
  readonly cpuMs: number
}

export class Victim {
  plainPort = 0
  http2Port = 0
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor() {
    const args = ['--expose-gc', join(import.meta.dirname, 'victim.ts')]
    this.#child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    if (this.#child.stdout === null) throw new Error('no output')
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  async start(): Promise<this> {
    Object.assign(this, JSON.parse(await this.#line()))
    return this
  }

  /** `settled`: after a collection. */
  async usage(settled = false): Promise<Usage> {
    this.#child.stdin?.write(settled ? 'gc\n' : 'usage\n')
    return JSON.parse(await this.#line()) as Usage
  }

  stop(): void {
    this.#child.kill()
  }

  async #line(): Promise<string> {
    const { value } = (await this.#lines.next()) as { value?: string }
    if (value === undefined) throw new Error('the victim ended')
    return value
  }
}
