/** PeerAuthentication: what Istio's webhook refuses, and what it would not do here. */
import type { PeerAuthentication } from '../../kinds.ts'
import { type Flaw, warning } from '../finding.ts'
import { invalid, scopeFlaws } from './selectors.ts'

const ROOTS: ReadonlySet<string> = new Set(['isthmus-system', 'istio-system'])

export function* peerAuthenticationFlaws({ metadata, spec = {} }: PeerAuthentication): Iterable<Flaw> {
  const namespace = metadata.namespace ?? 'default'
  const { selector, portLevelMtls } = spec
  yield* scopeFlaws(spec, namespace)
  const isGeneral = Object.keys(selector?.matchLabels ?? {}).length === 0
  if (portLevelMtls !== undefined) {
    const ports = Object.keys(portLevelMtls)
    if (isGeneral) yield invalid('spec.portLevelMtls', 'needs a selector')
    if (ports.length === 0) yield invalid('spec.portLevelMtls', 'must name a port')
    for (const port of ports) {
      const isPort = /^[0-9]{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535
      if (!isPort) yield invalid(`spec.portLevelMtls.${port}`, 'is no port')
    }
  }
  if (!isGeneral && ROOTS.has(namespace)) {
    yield warning({
      code: 'POLICY_INEFFECTIVE',
      field: 'spec.selector',
      message: `a PeerAuthentication with a selector in ${namespace} is ignored: there it would have to mean every namespace`,
      hint: 'Move it into the namespace of the pods that it selects.',
    })
  }
}
