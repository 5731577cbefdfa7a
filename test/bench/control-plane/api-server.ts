/**
 * The Kubernetes API of the control plane's bench, in a process of its own: the embedded server and nothing that runs
 * pods. Prints one line of JSON when it listens; ends with its standard input.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startApiServer } from '../../../src/local/apiserver/server.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { createLog } from '../../../src/runtime/log.ts'
import { systemRandom } from '../../../src/runtime/random.ts'

const [directory = ''] = process.argv.slice(2)
const server = await startApiServer({
  stateDir: directory,
  host: '127.0.0.1',
  port: 0,
  serviceCidr: '10.96.0.0/12',
  loadBalancerCidr: '10.240.0.0/16',
  clock: systemClock,
  random: systemRandom,
  log: createLog('bench-api', 'error'),
  allowLoopbackEndpoints: true,
})
const kubeconfig = join(directory, 'kubeconfig')
writeFileSync(kubeconfig, server.adminKubeconfig('bench'), { mode: 0o600 })
process.stdout.write(`${JSON.stringify({ url: server.url, kubeconfig })}\n`)
process.stdin.resume()
process.stdin.once('end', () => void server.close().then(() => process.exit(0)))
