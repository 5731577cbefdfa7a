/** The requests of the control socket, checked and carried out. */
import { MeshError } from '../../runtime/errors.ts'
import type { NodeAgent } from '../node/agent.ts'
import type { Images } from '../node/images.ts'
import type { ClusterStatus, ImageRequest, KillPodsAnswer, KillPodsRequest } from './control-api.ts'
import type { ControlRoutes } from './control-server.ts'
import type { Faults } from './faults.ts'

export interface ControlParts {
  readonly status: () => ClusterStatus
  readonly kubeconfig: () => string
  readonly agent: NodeAgent
  readonly faults: Faults
  readonly images: Images
  readonly onStopAsked: () => void
}

export function controlRoutes(parts: ControlParts): ControlRoutes {
  const { agent, faults, images } = parts
  return {
    'GET /status': () => parts.status(),
    'GET /kubeconfig': () => ({ kubeconfig: parts.kubeconfig() }),
    'GET /faults': () => faults.list(),
    'POST /faults/kill-pods': (body): KillPodsAnswer => {
      const { namespace, selector, hold } = killPodsRequest(body)
      return { killed: agent.killPods({ namespace, selector }, hold) }
    },
    'POST /faults/cut': () => faults.cut(),
    'POST /faults/heal': () => faults.heal(),
    'POST /images': (body) => {
      const { image, command } = imageRequest(body)
      images.set(image, command)
    },
    'POST /stop': () => parts.onStopAsked(),
  }
}

function killPodsRequest(body: unknown): KillPodsRequest {
  const { namespace, selector, hold } = record(body)
  if (typeof namespace !== 'string' || namespace === '' || typeof selector !== 'string' || typeof hold !== 'boolean') {
    throw new MeshError('USAGE', 'kill-pods needs namespace, selector and hold')
  }
  return { namespace, selector, hold }
}

function imageRequest(body: unknown): ImageRequest {
  const { image, command } = record(body)
  const { command: words, cwd } = record(command)
  const valid = Array.isArray(words) && words.length > 0 && words.every((word) => typeof word === 'string')
  if (typeof image !== 'string' || image === '' || !valid || (cwd !== undefined && typeof cwd !== 'string')) {
    throw new MeshError('USAGE', 'an image needs a name and a command')
  }
  return { image, command: { command: words, ...(cwd === undefined ? {} : { cwd }) } }
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
