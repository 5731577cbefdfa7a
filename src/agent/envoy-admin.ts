/** What the agent asks of Envoy's admin port, which listens on the pod's loopback alone. */
import { request } from '../runtime/http.ts'

const TIMEOUT_MS = 2_000
/** All its statistics in Prometheus' form. */
const ANSWER_BYTES_MAX = 32 * 1_048_576

export class EnvoyAdmin {
  readonly #host: string
  readonly #port: number

  constructor(host: string, port: number) {
    this.#host = host
    this.#port = port
  }

  /** LIVE: it has its configuration and every listener is open. */
  async isReady(): Promise<boolean> {
    try {
      return (await this.get('/ready')).trim() === 'LIVE'
    } catch {
      return false
    }
  }

  async activeRequests(): Promise<number> {
    const text = await this.get('/stats?filter=^http\\..*\\.downstream_rq_active$&usedonly')
    return text.split('\n').reduce((sum, line) => {
      // The admin port's own, which is this question.
      if (line.startsWith('http.admin.')) return sum
      return sum + (Number(line.split(': ')[1] ?? 0) || 0)
    }, 0)
  }

  get(path: string): Promise<string> {
    return this.#ask('GET', path)
  }

  post(path: string): Promise<string> {
    return this.#ask('POST', path)
  }

  #ask(method: string, path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const asked = request({ host: this.#host, port: this.#port, method, path, agent: false, timeout: TIMEOUT_MS })
      asked.on('response', (response) => {
        const chunks: Buffer[] = []
        let length = 0
        response.on('data', (chunk: Buffer) => {
          length += chunk.length
          if (length > ANSWER_BYTES_MAX) asked.destroy(new Error('the answer is too long'))
          else chunks.push(chunk)
        })
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          if (response.statusCode === 200) resolve(text)
          else reject(new Error(`${path} answered ${response.statusCode}: ${text.slice(0, 200)}`))
        })
      })
      asked.on('timeout', () => asked.destroy(new Error('no answer in time')))
      asked.on('error', reject)
      asked.end()
    })
  }
}
