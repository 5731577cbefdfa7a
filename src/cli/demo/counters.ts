/** Reads the client's sidecar: requests by its own count (`istio_requests_total`, reporter source). */
import { get } from 'node:http'
import { PORTS } from '../../model/ports.ts'

/** Sum over every series with reporter="source". */
export function sumSourceRequests(exposition: string): number {
  let sum = 0
  for (const line of exposition.split('\n')) {
    if (!line.startsWith('istio_requests_total{') || !line.includes('reporter="source"')) continue
    sum += Number(
      line
        .slice(line.lastIndexOf('}') + 1)
        .trim()
        .split(' ')[0],
    )
  }
  return sum
}

const SCRAPE_TIMEOUT_MS = 5_000

export function scrape(podIp: string, port: number = PORTS.metrics): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ host: podIp, port, path: '/metrics', timeout: SCRAPE_TIMEOUT_MS }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve(Buffer.concat(chunks).toString()))
      response.on('error', reject)
    })
    request.on('timeout', () =>
      request.destroy(new Error(`${podIp}:${port} did not answer within ${SCRAPE_TIMEOUT_MS} ms`)),
    )
    request.on('error', reject)
  })
}
