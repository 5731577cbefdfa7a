/**
 * The network of a namespaced cluster: one bridge, one network namespace and veth pair per pod, addresses of services
 * and load balancers answered by the cluster process itself (`local` routes, so that it can bind each). Pods reach
 * other clusters' load balancer addresses over the machine, never their pods: nothing is forwarded. What is made is
 * written to a journal first, so that whoever comes after a crash can remove it.
 */
import { spawn, spawnSync } from 'node:child_process'
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { PROXY_USER } from '../../kube/inject.ts'
import { MeshError } from '../../runtime/errors.ts'
import { nodeAddress, type AddressPlan } from './address-plan.ts'

const PREFIX_BITS = 16
/** iproute2 puts what lies here over /etc for programs of the namespace. */
const ETC_NETNS = '/etc/netns'

/** What pods need of it; the node agent knows no more. */
export interface PodNetwork {
  /** Makes the pod's namespace, anew if there was one. */
  attach(podIp: string, namespace: string): Promise<void>
  /** Before the command of a process of the pod. `group`: as whom it runs (`runAsGroup`). */
  enter(podIp: string, group: number | undefined): readonly string[]
  detach(podIp: string): Promise<void>
}

export class Namespaces implements PodNetwork {
  readonly #plan: AddressPlan
  readonly #journal: string
  readonly #domain: string
  readonly #attached = new Set<string>()

  private constructor(plan: AddressPlan, journal: string, domain: string) {
    this.#plan = plan
    this.#journal = journal
    this.#domain = domain
  }

  static async open(options: {
    readonly plan: AddressPlan
    readonly zones: number
    readonly journal: string
    readonly domain: string
  }): Promise<Namespaces> {
    const { plan, zones, journal, domain } = options
    const self = new Namespaces(plan, journal, domain)
    const bridge = bridgeOf(plan)
    self.#note(`link ${bridge}`)
    const nodes = Array.from({ length: zones }, (_, zone) => `address add ${nodeAddress(plan, zone)}/32 dev ${bridge}`)
    const served = [plan.serviceCidr, plan.loadBalancerCidr]
    for (const cidr of served) self.#note(`route ${cidr}`)
    await ip([
      `link add ${bridge} type bridge`,
      `address add ${plan.host}/${PREFIX_BITS} dev ${bridge}`,
      ...nodes,
      `link set ${bridge} up`,
      ...served.map((cidr) => `route add local ${cidr} dev lo`),
    ])
    return self
  }

  async attach(podIp: string, namespace: string): Promise<void> {
    if (this.#attached.has(podIp)) await this.detach(podIp)
    const name = namespaceOf(podIp)
    const veth = vethOf(podIp)
    // The pair by its own name too: a deleted namespace takes it along only when the kernel gets to it.
    this.#note(`netns ${name}`)
    this.#note(`link ${veth}`)
    this.#attached.add(podIp)
    mkdirSync(`${ETC_NETNS}/${name}`, { recursive: true })
    const search = [`${namespace}.svc.${this.#domain}`, `svc.${this.#domain}`, this.#domain].join(' ')
    const lines = [`nameserver ${this.#plan.host}`, `search ${search}`, 'options ndots:5']
    writeFileSync(`${ETC_NETNS}/${name}/resolv.conf`, `${lines.join('\n')}\n`)
    await ip([
      `netns add ${name}`,
      `link add ${veth} type veth peer name eth0 netns ${name}`,
      `link set ${veth} master ${bridgeOf(this.#plan)}`,
      `link set ${veth} up`,
    ])
    await ip(
      [
        'link set lo up',
        `address add ${podIp}/${PREFIX_BITS} dev eth0`,
        'link set eth0 up',
        `route add default via ${this.#plan.host}`,
      ],
      ['-n', name],
    )
  }

  enter(podIp: string, group: number | undefined): readonly string[] {
    const inside = ['ip', 'netns', 'exec', namespaceOf(podIp)]
    return group === undefined ? inside : [...inside, 'setpriv', `--regid=${group}`, '--clear-groups', '--']
  }

  async detach(podIp: string): Promise<void> {
    if (!this.#attached.delete(podIp)) return
    const name = namespaceOf(podIp)
    // What is not there, because an attempt to attach failed half-way, is no reason to leave the rest.
    await ip([`link del ${vethOf(podIp)}`, `netns del ${name}`], ['-force']).catch(() => {})
    rmSync(`${ETC_NETNS}/${name}`, { recursive: true, force: true })
  }

  close(): void {
    removeNetwork(this.#journal)
    this.#attached.clear()
  }

  #note(line: string): void {
    appendFileSync(this.#journal, `${line}\n`, { mode: 0o600 })
  }
}

/** Root, also of a user namespace, and iproute2; or in words what is missing. */
export function requireNamespaces(): void {
  if (process.getuid?.() !== 0) throw new MeshError('LOCAL_NOT_ROOT', 'the namespaced plan makes network namespaces')
  // Proxies run as this group, and the rules of capture leave it alone: without it they would catch themselves.
  if (!mapsId(readFileSync('/proc/self/gid_map', 'utf8'), PROXY_USER)) {
    throw new MeshError('LOCAL_USER_NAMESPACE', `this user namespace has no group ${PROXY_USER}`)
  }
  if (spawnSync('ip', ['-V']).error !== undefined) {
    throw new MeshError('LOCAL_NAMESPACE', 'the program `ip` (iproute2) is not installed')
  }
}

/** Whether an id exists in the user namespace of this map (user_namespaces(7)): lines of first id, its parent's, count. */
export function mapsId(map: string, id: number): boolean {
  return map.split('\n').some((line) => {
    const [first, , count] = line.trim().split(/ +/).map(Number)
    return first !== undefined && count !== undefined && id >= first && id < first + count
  })
}

/** Networks whose addresses the machine has already, whoever gave them to it. */
export function networksInUse(): ReadonlySet<number> {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address))
  return new Set(addresses.filter((each) => each.startsWith('10.')).map((each) => Number(each.split('.')[1])))
}

/** Removes what a journal names, as far as it is still there. The same as the reaper does; see node/reaper.ts. */
export function removeNetwork(journal: string): void {
  let text: string
  try {
    text = readFileSync(journal, 'utf8')
  } catch {
    return
  }
  const namespaces = new Set<string>()
  for (const line of text.split('\n').reverse()) {
    const [kind = '', name = ''] = line.split(' ')
    if (kind === 'link') spawnSync('ip', ['link', 'del', name])
    if (kind === 'route') spawnSync('ip', ['route', 'del', 'local', name, 'dev', 'lo'])
    if (kind === 'netns') namespaces.add(name)
  }
  for (const name of namespaces) {
    spawnSync('ip', ['netns', 'del', name])
    rmSync(`${ETC_NETNS}/${name}`, { recursive: true, force: true })
  }
  rmSync(journal, { force: true })
}

const bridgeOf = (plan: AddressPlan): string => `isthmus${plan.network}`
/** Both carry the whole address: the network's number is taken machine-wide, so no other cluster has it. */
const namespaceOf = (podIp: string): string => `isthmus-${podIp.replaceAll('.', '-')}`
/** 15 characters at most: `iv250-31-254`. */
const vethOf = (podIp: string): string => `iv${podIp.split('.').slice(1).join('-')}`

/** One process for several commands; they stop at the first that fails. */
function ip(commands: readonly string[], flags: readonly string[] = []): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('ip', [...flags, '-batch', '-'], { stdio: ['pipe', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')))
    child.once('error', (error) => reject(new MeshError('LOCAL_NAMESPACE', `ip: ${error.message}`)))
    child.stdin.on('error', () => {})
    child.once('close', (code) => {
      if (code === 0) resolve()
      else reject(new MeshError('LOCAL_NAMESPACE', `ip ${flags.join(' ')}: ${said.trim().replaceAll('\n', '; ')}`))
    })
    child.stdin.end(`${commands.join('\n')}\n`)
  })
}
