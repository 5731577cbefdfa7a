/**
 * What one caller sees of the mesh: hosts, and which VirtualServices and DestinationRules speak for them. Callers of one
 * namespace share a scope, unless some rule asks for labels that tell them apart. A memory, so that a scope is the same
 * object while nothing that it is made of changed; pure but for that.
 */
import type { PodFacts, SidecarFacts, Snapshot } from '../../observe/facts.ts'
import { GatewayRoutes, type ScopedRoutes } from '../gateway-api/scoped-routes.ts'
import type { Host } from '../hosts.ts'
import { Memo } from '../memo.ts'
import { askedLabels } from './asked-labels.ts'
import { type DestinationRuleIndex, type HostRule, mergeRules, rulesFor, rulesOf } from './destination-rules.ts'
import type { Caller } from './http-match.ts'
import { isVisibleFrom } from './names.ts'
import { knownHosts, knowsName, passesUnknown, sidecarFor } from './sidecars.ts'
import { indexOf, type Led, ledFor, ledOf, type VirtualServiceIndex } from './virtual-services.ts'

export interface Scope {
  readonly key: string
  readonly domain: string
  readonly caller: Caller
  /** Sorted by name. */
  readonly hosts: readonly Host[]
  readonly byName: ReadonlyMap<string, Host>
  readonly virtualServices: VirtualServiceIndex
  /** Where they speak, VirtualServices do not. */
  readonly gatewayRoutes: ScopedRoutes
  /** A name that only a VirtualService knows, and that callers may know: a host that is hidden from them is none. */
  readonly isStranger: (name: string, led: Led) => boolean
  /** What is no host of these passes. */
  readonly passesUnknown: boolean
  /** The same object while the same rules hold. */
  readonly ruleFor: (host: Host) => HostRule | undefined
}

type ScopeTables = Pick<Snapshot, 'mesh' | 'networking' | 'gatewayApi'>

export class Scopes {
  readonly #scopes = new Memo<Scope>()
  readonly #labels = new Memo<readonly string[]>()
  readonly #rules = new Memo<DestinationRuleIndex>()
  readonly #merged = new Memo<HostRule>()
  readonly #led = new Memo<Led>()
  readonly #limited = new Memo<Host>()
  readonly #lists = new Memo<readonly Host[]>()
  readonly #gatewayRoutes = new GatewayRoutes()

  scopeOf(snapshot: ScopeTables, pod: PodFacts, hosts: readonly Host[]): Scope {
    const { virtualServices, destinationRules, sidecars } = snapshot.networking
    const { domain } = snapshot.mesh
    const asked = this.#labels.get('all', [virtualServices, destinationRules, sidecars], () =>
      askedLabels(snapshot.networking),
    )
    const caller = { namespace: pod.namespace, labels: projected(pod.labels, asked) }
    const key = asked.length === 0 ? caller.namespace : `${caller.namespace}|${JSON.stringify(caller.labels)}`
    const attachments = this.#gatewayRoutes.attachments(snapshot.gatewayApi, domain)
    return this.#scopes.get(key, [hosts, virtualServices, destinationRules, sidecars, attachments, domain], () => {
      const rules = this.#rules.get('all', [destinationRules, domain], () => rulesOf(destinationRules, domain))
      const led = indexOf(virtualServices, caller.namespace, {
        domain,
        lead: (root, parts) =>
          this.#led.get(`${root.namespace}/${root.name}`, [root, ...parts, domain], () => ledOf(root, parts, domain)),
      })
      const sidecar = sidecarFor(sidecars, caller)
      const names = new Set(hosts.map(({ host }) => host))
      const leads = (host: string): readonly string[] => [
        ...(ledFor(led, host)?.destinations ?? []),
        ...this.#gatewayRoutes.destinations(attachments, host, domain),
      ]
      const visible = this.#visible({ hosts, caller, sidecar, leads, domain }, key)
      return {
        key,
        domain,
        caller,
        hosts: visible,
        byName: new Map(visible.map((host) => [host.host, host])),
        virtualServices: led,
        gatewayRoutes: this.#gatewayRoutes.scoped(attachments, { hosts: visible, caller: caller.namespace, domain }),
        isStranger: (name, { namespace }) => !names.has(name) && knowsName(sidecar, { name, namespace, domain }),
        passesUnknown: passesUnknown(sidecar),
        ruleFor: this.#ruleFor(rules, caller),
      }
    })
  }

  /** The same list, and in it the same hosts, while they are equal. */
  #visible({ hosts, caller, sidecar, leads, domain }: VisibleInput, key: string): readonly Host[] {
    const exported = hosts.filter(({ exportTo, namespace }) => isVisibleFrom(exportTo, namespace, caller.namespace))
    const known = sidecar === undefined ? exported : knownHosts(sidecar, exported, { domain, led: leads })
    const all = new Set(hosts)
    const kept = known.map((host) =>
      all.has(host) ? host : this.#limited.get(`${key}|${host.host}`, [JSON.stringify(host)], () => host),
    )
    return this.#lists.get(key, kept, () => kept)
  }

  #ruleFor(index: DestinationRuleIndex, caller: Caller): Scope['ruleFor'] {
    if (index.byNamespace.size === 0) return () => undefined
    const known = new Map<string, HostRule | undefined>()
    return (host) => {
      if (known.has(host.host)) return known.get(host.host)
      const rules = rulesFor(index, host, caller)
      const key = rules?.map(({ namespace, name }) => `${namespace}/${name}`).join(',') ?? ''
      const merged = rules && this.#merged.get(key, rules, () => mergeRules(rules))
      known.set(host.host, merged)
      return merged
    }
  }
}

interface VisibleInput {
  readonly hosts: readonly Host[]
  readonly caller: Caller
  readonly sidecar: SidecarFacts | undefined
  /** Hosts that what speaks for a host leads to. */
  readonly leads: (host: string) => readonly string[]
  readonly domain: string
}

function projected(
  labels: Readonly<Record<string, string>>,
  asked: readonly string[],
): Readonly<Record<string, string>> {
  return Object.fromEntries(asked.flatMap((label) => (labels[label] === undefined ? [] : [[label, labels[label]]])))
}
