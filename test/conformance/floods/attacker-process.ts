/** Starts attacker.ts, which warms up and then floods when it is told to, so that its own start disturbs no measurement. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Cut } from './attacks.ts'

export class Attacker {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcess, lines: AsyncIterator<string>) {
    this.#child = child
    this.#lines = lines
  }

  static async start(port: number, attack: string): Promise<Attacker> {
    const args = [join(import.meta.dirname, 'attacker.ts'), String(port), attack]
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    if (child.stdout === null) throw new Error('no output')
    const attacker = new Attacker(child, createInterface({ input: child.stdout })[Symbol.asyncIterator]())
    await attacker.#line()
    return attacker
  }

  /** One connection after the other for so long; the process ends with it. */
  async flood(forMs: number): Promise<Cut[]> {
    this.#child.stdin?.end(`${forMs}\n`)
    return JSON.parse(await this.#line()) as Cut[]
  }

  async #line(): Promise<string> {
    const { value } = (await this.#lines.next()) as { value?: string }
    if (value === undefined) throw new Error('the attacker ended')
    return value
  }
}
